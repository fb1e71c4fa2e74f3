const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;
const NONE = "–";

type Maybe<T> = T | null | undefined;

/** Writes values as readers of one locale expect them. */
export class Format {
  readonly locale: string;
  readonly zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  constructor(locale: string) {
    this.locale = locale;
  }

  number(value: number, digits = 0): string {
    return new Intl.NumberFormat(this.locale, { maximumFractionDigits: digits }).format(value);
  }

  share(value: number): string {
    return new Intl.NumberFormat(this.locale, { style: "percent", maximumFractionDigits: 1 }).format(value);
  }

  /** Bytes in the unit that reads best. */
  size(bytes: Maybe<number>): string {
    if (bytes == null) return NONE;
    const exponent = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
    return `${this.number(bytes / 1024 ** exponent, 1)} ${UNITS[exponent]}`;
  }

  /** An instant in the viewer's zone. */
  time(instant: Maybe<string>): string {
    if (!instant) return NONE;
    return this.date(instant, { year: "numeric", ...DAY, ...CLOCK });
  }

  /** An instant in the viewer's zone, which is named. */
  timeWithZone(instant: Maybe<string>): string {
    if (!instant) return NONE;
    return this.date(instant, { year: "numeric", ...DAY, ...CLOCK, second: "2-digit", timeZoneName: "short" });
  }

  /** The time of day. */
  clock(instant: string): string {
    return this.date(instant, CLOCK);
  }

  day(instant: string): string {
    return this.date(instant, DAY);
  }

  private date(instant: string, options: Intl.DateTimeFormatOptions): string {
    return new Intl.DateTimeFormat(this.locale, options).format(new Date(instant));
  }

  /** Seconds as h:mm:ss. */
  duration(seconds: Maybe<number>): string {
    if (seconds == null) return NONE;
    const two = (part: number) => String(part).padStart(2, "0");
    const whole = Math.max(0, Math.floor(seconds));
    return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  }
}

const DAY = { month: "short", day: "numeric" } as const;
const CLOCK = { hour: "2-digit", minute: "2-digit" } as const;
