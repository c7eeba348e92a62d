import { expect, test } from "vitest";
import { minerHref, parseRoute } from "./router.ts";

test.each([
  ["", { page: "dashboard" }],
  ["#/", { page: "dashboard" }],
  ["#/nowhere", { page: "dashboard" }],
  ["#/connect", { page: "connect" }],
  ["#/miner", { page: "miner", address: null }],
  ["#/miner/", { page: "miner", address: null }],
  ["#/miner/9fKq", { page: "miner", address: "9fKq" }],
  ["#/miner/%E0%A4%A", { page: "miner", address: null }],
])("%s leads to %o", (hash, route) => {
  expect(parseRoute(hash)).toEqual(route);
});

test("a link to a miner leads back to the same miner, odd characters included", () => {
  const address = "a/b c#d";
  expect(parseRoute(minerHref(address))).toEqual({ page: "miner", address });
});
