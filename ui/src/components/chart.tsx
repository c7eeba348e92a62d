/** The hashrate this page has watched: a line with gaps where nothing was measured. */

import { useEffect, useRef, useState } from "react";
import type { PointerEvent, RefObject } from "react";
import { formatClock, formatDuration, formatHashrate, formatInteger } from "../format.ts";
import { niceCeiling, splitAtGaps } from "../live/series.ts";
import type { Point } from "../live/series.ts";

export interface Marker {
  /** Unlike its time or its label, no two blocks share it. */
  id: string;
  atMs: number;
  label: string;
}

interface ChartProps {
  points: readonly Point[];
  /** Blocks found, as ticks on the time axis. */
  markers: readonly Marker[];
  nowMs: number;
}

const HEIGHT = 208;
const PAD = { top: 12, right: 8, bottom: 24, left: 56 };
const SPAN_MIN_MS = 60_000;
const SPAN_MAX_MS = 1_800_000;
const GAP_MS = 15_000;

interface Scale {
  x: (atMs: number) => number;
  y: (value: number) => number;
  top: number;
  left: number;
  right: number;
  base: number;
  fromMs: number;
  toMs: number;
}

function scaleFor(points: readonly Point[], width: number, nowMs: number): Scale {
  const toMs = Math.max(nowMs, points.at(-1)?.atMs ?? nowMs);
  const age = toMs - (points[0]?.atMs ?? toMs);
  const fromMs = toMs - Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, age));
  const peak = points.reduce((most, point) => Math.max(most, point.value), 0);
  const top = niceCeiling(peak * 1.1);
  const left = PAD.left;
  const right = Math.max(left + 40, width - PAD.right);
  const base = HEIGHT - PAD.bottom;
  return {
    x: (atMs) => left + ((atMs - fromMs) / (toMs - fromMs)) * (right - left),
    y: (value) => base - (value / top) * (base - PAD.top),
    top,
    left,
    right,
    base,
    fromMs,
    toMs,
  };
}

function path(run: readonly Point[], scale: Scale): string {
  return run.map((p, i) => `${i === 0 ? "M" : "L"}${scale.x(p.atMs).toFixed(1)} ${scale.y(p.value).toFixed(1)}`).join("");
}

function area(run: readonly Point[], scale: Scale): string {
  const first = run[0];
  const last = run.at(-1);
  if (first === undefined || last === undefined) return "";
  return `${path(run, scale)}L${scale.x(last.atMs).toFixed(1)} ${scale.base}L${scale.x(first.atMs).toFixed(1)} ${scale.base}Z`;
}

export function HashrateChart({ points, markers, nowMs }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const [hoverMs, setHoverMs] = useState<number | null>(null);
  const scale = scaleFor(points, width, nowMs);
  const shown = points.filter((point) => point.atMs >= scale.fromMs);
  const runs = splitAtGaps(shown, GAP_MS);
  const hover = hoverMs === null ? null : nearest(shown, hoverMs);
  const onMove = (event: PointerEvent<SVGSVGElement>) => {
    const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
    setHoverMs(scale.fromMs + ((x - scale.left) / (scale.right - scale.left)) * (scale.toMs - scale.fromMs));
  };
  return (
    <div className="chart" ref={box}>
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={summary(shown)}
        onPointerMove={onMove}
        onPointerLeave={() => {
          setHoverMs(null);
        }}
      >
        <defs>
          <linearGradient id="chart-fade" x1="0" y1="0" x2="0" y2="1">
            <stop className="chart-fade-top" offset="0" />
            <stop className="chart-fade-end" offset="1" />
          </linearGradient>
        </defs>
        <Axes scale={scale} />
        {runs.map((run) => (
          <g key={run[0]?.atMs}>
            <path className="chart-area" d={area(run, scale)} />
            <path className="chart-line" d={path(run, scale)} />
          </g>
        ))}
        <Markers markers={markers} scale={scale} />
        <Head point={shown.at(-1)} scale={scale} />
        {hover !== null && <Crosshair point={hover} scale={scale} />}
      </svg>
      {shown.length < 2 && <p className="chart-hint">The line begins with this visit.</p>}
    </div>
  );
}

function Axes({ scale }: { scale: Scale }) {
  const rows = [0, 0.5, 1].map((part) => part * scale.top);
  const columns = [0, 1 / 3, 2 / 3, 1].map((part) => scale.fromMs + part * (scale.toMs - scale.fromMs));
  return (
    <g className="chart-axes" aria-hidden="true">
      {rows.map((value) => (
        <g key={value}>
          <line x1={scale.left} x2={scale.right} y1={scale.y(value)} y2={scale.y(value)} />
          <text x={scale.left - 10} y={scale.y(value) + 4} textAnchor="end">
            {formatHashrate(value)}
          </text>
        </g>
      ))}
      {columns.map((atMs, index) => (
        <text
          key={index}
          x={scale.x(atMs)}
          y={HEIGHT - 6}
          textAnchor={index === 0 ? "start" : index === columns.length - 1 ? "end" : "middle"}
        >
          {index === columns.length - 1 ? "now" : `−${formatDuration((scale.toMs - atMs) / 1000)}`}
        </text>
      ))}
    </g>
  );
}

function Markers({ markers, scale }: { markers: readonly Marker[]; scale: Scale }) {
  return markers
    .filter(({ atMs }) => atMs >= scale.fromMs && atMs <= scale.toMs)
    .map(({ id, atMs, label }) => {
      const x = scale.x(atMs);
      return (
        <g key={id} className="chart-marker" data-testid="chart-marker">
          <title>{label}</title>
          <line x1={x} x2={x} y1={PAD.top} y2={scale.base} />
          <path d={`M${x} ${scale.base - 5}l4.5 5l-4.5 5l-4.5 -5z`} />
        </g>
      );
    });
}

function Head({ point, scale }: { point: Point | undefined; scale: Scale }) {
  if (point === undefined) return null;
  return <circle className="chart-head" cx={scale.x(point.atMs)} cy={scale.y(point.value)} r="3.5" />;
}

function Crosshair({ point, scale }: { point: Point; scale: Scale }) {
  const x = scale.x(point.atMs);
  const nearRight = x > scale.right - 150;
  return (
    <g className="chart-cross" aria-hidden="true">
      <line x1={x} x2={x} y1={PAD.top} y2={scale.base} />
      <circle cx={x} cy={scale.y(point.value)} r="4" />
      <text x={nearRight ? x - 8 : x + 8} y={PAD.top + 10} textAnchor={nearRight ? "end" : "start"}>
        {formatHashrate(point.value)} at {formatClock(point.atMs)}
      </text>
    </g>
  );
}

function nearest(points: readonly Point[], atMs: number): Point | null {
  let best: Point | null = null;
  for (const point of points) {
    if (best === null || Math.abs(point.atMs - atMs) < Math.abs(best.atMs - atMs)) best = point;
  }
  return best;
}

function summary(points: readonly Point[]): string {
  const values = points.map((point) => point.value);
  const last = values.at(-1);
  if (last === undefined) return "Pool hashrate: no figures yet";
  const low = formatHashrate(Math.min(...values));
  const high = formatHashrate(Math.max(...values));
  return `Pool hashrate: ${formatHashrate(last)} now, ${low} to ${high} over ${formatInteger(values.length)} answers`;
}

function useWidth(box: RefObject<HTMLDivElement | null>): number {
  const [width, setWidth] = useState(720);
  useEffect(() => {
    const element = box.current;
    if (element === null || typeof ResizeObserver === "undefined") return undefined;
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined && entry.contentRect.width > 0) setWidth(Math.floor(entry.contentRect.width));
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, [box]);
  return width;
}
