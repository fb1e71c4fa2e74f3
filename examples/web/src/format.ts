const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** Bytes in the unit that reads best. */
export function size(bytes: number | null | undefined): string {
  if (bytes == null) return "–";
  const exponent = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const amount = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
  return `${amount.format(bytes / 1024 ** exponent)} ${UNITS[exponent]}`;
}

/** An instant in the viewer's own zone, which is named. */
export function time(instant: string | null | undefined): string {
  if (!instant) return "–";
  return new Intl.DateTimeFormat(undefined, {
    year: "numeric",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "short",
  }).format(new Date(instant));
}

/** Seconds as h:mm:ss. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return "–";
  const two = (part: number) => String(part).padStart(2, "0");
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}

/** A name in capitals as words. */
export function words(name: string | null | undefined): string {
  if (!name) return "–";
  const text = name.toLowerCase().replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
