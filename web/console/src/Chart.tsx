import {
  ArcElement, BarController, BarElement, CategoryScale, Chart as Drawing, type ChartConfiguration, DoughnutController,
  Legend, LinearScale, Tooltip,
} from "chart.js";
import { type ReactNode, useEffect, useId, useRef, useSyncExternalStore } from "react";

import { useWords } from "./language.tsx";

Drawing.register(ArcElement, BarController, BarElement, CategoryScale, DoughnutController, Legend, LinearScale, Tooltip);

/** The colours of the style sheet, as a canvas needs them. */
export type Palette = (name: string) => string;

export interface Series {
  label: string;
  values: number[];
  /** Name of a colour in the style sheet, for the series or for each of its values. */
  color: string | string[];
}

interface Props {
  title: string;
  kind: "days" | "ranking" | "shares";
  labels: string[];
  series: Series[];
  /** Writes a value, for axes and tooltips. */
  format: (value: number) => string;
  /** The same numbers for those who do not see the drawing. */
  table: ReactNode;
  /** Called with the index of the label whose bar was pressed. */
  open: (index: number) => void;
  children?: ReactNode;
}

/** A chart with its title and its numbers as a table. */
export function Chart({ title, kind, labels, series, format, table, open, children }: Props) {
  const { texts } = useWords();
  const heading = useId();
  const canvas = useRef<HTMLCanvasElement>(null);
  const isDark = useSyncExternalStore(watchScheme, () => isDarkByEvent);
  const latest = useRef({ open });
  useEffect(() => {
    latest.current = { open };
  });
  useEffect(() => {
    if (!canvas.current) return;
    const drawn = { kind, labels, series, format, open: (index: number) => latest.current.open(index) };
    const drawing = new Drawing(canvas.current, configuration(drawn, paletteOf(canvas.current)));
    return () => drawing.destroy();
  }, [kind, labels, series, format, isDark]);
  return (
    <section className={`card chart ${kind}`} aria-labelledby={heading}>
      <div className="heading">
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
      <div className="canvas">
        <canvas ref={canvas} role="img" aria-label={`${title}: ${summary({ labels, series, format })}`} />
      </div>
      <details>
        <summary>{texts.overview.asTable}</summary>
        <div className="scroll" role="group" aria-label={title} tabIndex={0}>{table}</div>
      </details>
    </section>
  );
}

const darkScheme = window.matchMedia("(prefers-color-scheme: dark)");
/** Changes with the event only: `matches` may be ahead of it, and of the colours of the style sheet. */
let isDarkByEvent = darkScheme.matches;
darkScheme.addEventListener("change", ({ matches }) => {
  isDarkByEvent = matches;
});

function watchScheme(changed: () => void): () => void {
  darkScheme.addEventListener("change", changed);
  return () => darkScheme.removeEventListener("change", changed);
}

function paletteOf(element: HTMLElement): Palette {
  return (name) => {
    element.style.color = `var(--${name})`;
    const color = getComputedStyle(element).color;
    element.style.color = "";
    return color;
  };
}

/** The sum of each label, largest first, for screen readers. */
function summary({ labels, series, format }: Pick<Props, "labels" | "series" | "format">): string {
  const sums = labels.map((label, index) => ({ label, sum: series.reduce((sum, one) => sum + (one.values[index] ?? 0), 0) }));
  return sums
    .filter(({ sum }) => sum > 0)
    .sort((one, other) => other.sum - one.sum)
    .slice(0, 5)
    .map(({ label, sum }) => `${label} ${format(sum)}`)
    .join(", ");
}

type Drawn = Pick<Props, "kind" | "labels" | "series" | "format" | "open">;

function configuration({ kind, labels, series, format, open }: Drawn, palette: Palette): ChartConfiguration {
  const paint = (color: string | string[]) => (Array.isArray(color) ? color.map(palette) : palette(color));
  const isShares = kind === "shares";
  const quiet = palette("quiet");
  const values = {
    stacked: true, border: { display: false }, grid: { color: palette("line") },
    ticks: { color: quiet, maxTicksLimit: 5, callback: (value: number | string) => format(Number(value)) },
  };
  const names = {
    stacked: true, border: { color: palette("line") }, grid: { display: false },
    ticks: { color: kind === "ranking" ? palette("text") : quiet, autoSkip: kind === "days", maxRotation: 0 },
  };
  return {
    type: isShares ? "doughnut" : "bar",
    data: {
      labels,
      datasets: series.map(({ label, values: data, color }) => ({
        label, data, backgroundColor: paint(color), maxBarThickness: kind === "ranking" ? 18 : 44,
        borderRadius: isShares ? 0 : 3, borderSkipped: false, borderWidth: isShares ? 2 : 0, borderColor: palette("card"),
      })),
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      font: { family: getComputedStyle(document.body).fontFamily },
      indexAxis: kind === "ranking" ? "y" : "x",
      scales: isShares ? {} : kind === "ranking" ? { x: values, y: names } : { x: names, y: values },
      interaction: { mode: isShares ? "nearest" : "index", axis: kind === "ranking" ? "y" : "x", intersect: isShares },
      onClick: (_, [pressed]) => pressed && open(pressed.index),
      plugins: {
        legend: {
          display: kind !== "ranking", position: isShares ? "right" : "bottom",
          labels: { color: palette("text"), usePointStyle: true, pointStyle: "circle", boxHeight: 7, padding: 14 },
        },
        tooltip: {
          filter: ({ raw }) => Number(raw) > 0,
          callbacks: { label: ({ dataset, label, raw }) => ` ${isShares ? label : dataset.label}: ${format(Number(raw))}` },
        },
      },
    } as ChartConfiguration["options"],
  };
}
