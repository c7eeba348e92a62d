/**
 * Asks the pool for a set of documents again and again, and remembers the last good answer of each.
 *
 * A failed question never erases an answer: the page goes on showing what it knew, with its age.
 * Nothing is asked while the page is hidden, and a round never starts before the last one ended.
 */

import { ApiError, getJson } from "../api/client.ts";
import type { Fetch } from "../api/client.ts";

/** What is known about one document. */
export interface Known<T> {
  value: T | null;
  /** When `value` arrived, milliseconds; `null` before the first answer. */
  updatedAtMs: number | null;
  /** Why the last question failed; `null` when it did not. */
  error: string | null;
  /** The HTTP status of that failure, if the pool answered at all. */
  errorStatus: number | null;
}

export type Snapshot<D> = { readonly [K in keyof D]: Known<D[K]> };

export interface Source {
  path: string;
  /** Least time between two questions; 0 asks in every round. */
  everyMs?: number;
  alsoOk?: readonly number[];
}

export interface PollerOptions<D> {
  intervalMs: number;
  /** Longest pause between rounds while the pool does not answer. */
  intervalMaxMs?: number;
  fetch?: Fetch;
  now?: () => number;
  isHidden?: () => boolean;
  /** Called once per round, before anybody is told. */
  onRound?: (snapshot: Snapshot<D>, nowMs: number) => void;
}

const NOTHING: Known<never> = { value: null, updatedAtMs: null, error: null, errorStatus: null };

export class Poller<D extends object> {
  private snapshot: Snapshot<D>;
  private readonly askedAtMs = new Map<keyof D, number>();
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | null = null;
  private abort: AbortController | null = null;
  private failures = 0;

  constructor(
    private readonly sources: { readonly [K in keyof D]: Source },
    private readonly options: PollerOptions<D>,
  ) {
    const empty = Object.keys(sources).map((key) => [key, NOTHING]);
    this.snapshot = Object.fromEntries(empty) as Snapshot<D>;
  }

  readonly get = (): Snapshot<D> => this.snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Begins to ask; a second call does nothing. */
  start(): void {
    if (this.abort !== null) return;
    this.abort = new AbortController();
    document.addEventListener("visibilitychange", this.onVisibility);
    this.round(this.abort.signal);
  }

  /** Stops asking and drops answers still on their way. */
  stop(): void {
    this.abort?.abort();
    this.abort = null;
    this.clearTimer();
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  private readonly onVisibility = (): void => {
    // A round in flight ends by itself and sees the new visibility; only a waiting one is woken.
    if (this.abort === null || this.timer === null || this.hidden()) return;
    this.clearTimer();
    this.round(this.abort.signal);
  };

  private hidden(): boolean {
    return this.options.isHidden?.() ?? document.hidden;
  }

  private now(): number {
    return (this.options.now ?? Date.now)();
  }

  private clearTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private round(signal: AbortSignal): void {
    void this.askAll(signal).then(() => {
      if (!signal.aborted) this.scheduleNext(signal);
    });
  }

  private scheduleNext(signal: AbortSignal): void {
    const longest = this.options.intervalMaxMs ?? 10_000;
    const pauseMs = Math.min(this.options.intervalMs * 2 ** Math.min(this.failures, 8), longest);
    this.timer = setTimeout(() => {
      if (this.hidden()) {
        this.scheduleNext(signal);
        return;
      }
      this.timer = null;
      this.round(signal);
    }, pauseMs);
  }

  private async askAll(signal: AbortSignal): Promise<void> {
    const startedAtMs = this.now();
    const due = (Object.keys(this.sources) as (keyof D)[]).filter((key) => this.isDue(key, startedAtMs));
    const answers = await Promise.all(due.map(async (key) => [key, await this.askOne(key, signal)] as const));
    if (signal.aborted) return;
    const failed = answers.filter(([, known]) => known.error !== null).length;
    // One broken document keeps the pace; only a pool that answers nothing is asked less often.
    this.failures = due.length > 0 && failed === due.length ? this.failures + 1 : 0;
    this.snapshot = { ...this.snapshot, ...Object.fromEntries(answers) };
    this.options.onRound?.(this.snapshot, this.now());
    for (const listener of this.listeners) listener();
  }

  private isDue(key: keyof D, nowMs: number): boolean {
    const everyMs = this.sources[key].everyMs ?? 0;
    const { error, value } = this.snapshot[key];
    const last = this.askedAtMs.get(key);
    const due = last === undefined || error !== null || value === null || nowMs - last >= everyMs;
    if (due) this.askedAtMs.set(key, nowMs);
    return due;
  }

  private async askOne<K extends keyof D>(key: K, signal: AbortSignal): Promise<Known<D[K]>> {
    const { path, alsoOk = [] } = this.sources[key];
    try {
      const { fetch } = this.options;
      const value = await getJson<D[K]>(path, { alsoOk, signal, ...(fetch ? { fetch } : {}) });
      return { value, updatedAtMs: this.now(), error: null, errorStatus: null };
    } catch (error) {
      const text = error instanceof Error ? error.message : "the question failed";
      const status = error instanceof ApiError ? error.status : null;
      return { ...this.snapshot[key], error: text, errorStatus: status };
    }
  }
}
