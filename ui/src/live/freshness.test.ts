import { expect, test } from "vitest";
import { freshness, STALE_AFTER_MS } from "./freshness.ts";

const at = { value: {}, updatedAtMs: 100_000, error: null, errorStatus: null };

test("before the first answer the page is connecting, and says why it is not when that fails", () => {
  const never = { value: null, updatedAtMs: null, error: null, errorStatus: null };
  expect(freshness(never, 0).kind).toBe("connecting");
  const failed = freshness({ ...never, error: "the pool cannot be reached" }, 0);
  expect(failed).toMatchObject({ kind: "unreachable", detail: expect.stringContaining("cannot be reached") as string });
});

test("one missed answer is not staleness yet", () => {
  expect(freshness({ ...at, error: "the pool took too long to answer" }, 100_000 + STALE_AFTER_MS - 1).kind).toBe("live");
});

test("old figures are called stale, with their age and the reason", () => {
  const stale = freshness({ ...at, error: "the pool cannot be reached" }, 100_000 + 34_000);
  expect(stale).toMatchObject({ kind: "stale", text: "Stale for 34 s", detail: expect.stringContaining("cannot be reached") as string });
});
