// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { json } from "../../tests/fixtures/pool.ts";
import { Poller } from "./poller.ts";

interface Docs {
  a: { n: number };
  slow: { n: number };
}

const SOURCES = { a: { path: "/a" }, slow: { path: "/slow", everyMs: 60_000, alsoOk: [503] } };

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function setUp(answer: (path: string) => Promise<Response>, isHidden = () => false) {
  const fetch = vi.fn(answer);
  const poller = new Poller<Docs>(SOURCES, { intervalMs: 2_000, fetch, isHidden });
  const asked = (path: string) => fetch.mock.calls.filter(([url]) => url === path).length;
  return { poller, asked };
}

test("each document is asked for at its own pace", async () => {
  const { poller, asked } = setUp(() => Promise.resolve(json({ n: 1 })));
  poller.start();
  await vi.advanceTimersByTimeAsync(10_100);
  poller.stop();
  expect(asked("/a")).toBe(6);
  expect(asked("/slow")).toBe(1);
  expect(poller.get().a.value).toEqual({ n: 1 });
});

test("a failure keeps the last good answer, says why, and recovers by itself", async () => {
  let up = true;
  const { poller } = setUp(() => (up ? Promise.resolve(json({ n: 1 })) : Promise.reject(new TypeError("refused"))));
  poller.start();
  await vi.advanceTimersByTimeAsync(100);
  up = false;
  await vi.advanceTimersByTimeAsync(2_000);
  expect(poller.get().a).toMatchObject({ value: { n: 1 }, error: "the pool cannot be reached" });
  up = true;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(poller.get().a.error).toBeNull();
  poller.stop();
});

test("a pool that answers nothing is asked less and less often", async () => {
  const { poller, asked } = setUp(() => Promise.reject(new TypeError("refused")));
  poller.start();
  await vi.advanceTimersByTimeAsync(60_000);
  poller.stop();
  expect(asked("/a")).toBeLessThan(10);
  expect(asked("/a")).toBeGreaterThan(4);
});

test("a round never starts before the last one has ended", async () => {
  const { poller, asked } = setUp(() => new Promise(() => undefined));
  poller.start();
  await vi.advanceTimersByTimeAsync(4_000);
  expect(asked("/a")).toBe(1);
  poller.stop();
});

test("a hidden page asks nothing and asks at once when it is seen again", async () => {
  let hidden = false;
  const { poller, asked } = setUp(
    () => Promise.resolve(json({ n: 1 })),
    () => hidden,
  );
  poller.start();
  await vi.advanceTimersByTimeAsync(100);
  hidden = true;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked("/a")).toBe(1);
  hidden = false;
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(10);
  expect(asked("/a")).toBe(2);
  poller.stop();
});

test("a status that carries an answer is an answer, others are errors with the pool's own words", async () => {
  const { poller } = setUp((path) =>
    Promise.resolve(path === "/slow" ? json({ n: 503 }, 503) : json({ error: "unknown miner" }, 404)),
  );
  poller.start();
  await vi.advanceTimersByTimeAsync(100);
  poller.stop();
  expect(poller.get().slow.value).toEqual({ n: 503 });
  expect(poller.get().a).toMatchObject({ value: null, error: "unknown miner", errorStatus: 404 });
});

test("a body that is not JSON is an error, not a crash", async () => {
  const { poller } = setUp(() => Promise.resolve(new Response("<html>")));
  poller.start();
  await vi.advanceTimersByTimeAsync(100);
  poller.stop();
  expect(poller.get().a.error).toBe("the pool's answer is not JSON");
});

test("nothing is asked, and nobody told, after a stop", async () => {
  const { poller, asked } = setUp(() => Promise.resolve(json({ n: 1 })));
  const told = vi.fn();
  poller.subscribe(told);
  poller.start();
  poller.stop();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(asked("/a")).toBe(1);
  expect(told).not.toHaveBeenCalled();
});
