// @vitest-environment happy-dom
import { act, cleanup, render, screen, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { block, fakeFetch, info, json, miner, NOW_MS, page, payout, stats } from "../tests/fixtures/pool.ts";
import { App } from "./app.tsx";
import { DashboardStore } from "./live/dashboard.ts";
import { DashboardContext } from "./live/hooks.ts";
import { isLocalOnly } from "./pages/connect.tsx";

let store: DashboardStore | null = null;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_MS });
  window.location.hash = "";
});

afterEach(() => {
  store?.stop();
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

async function open(overrides: Record<string, () => Response> = {}, hash = "") {
  window.location.hash = hash;
  vi.stubGlobal("fetch", fakeFetch(overrides));
  store = new DashboardStore({ isHidden: () => false });
  store.start();
  render(
    <DashboardContext value={store}>
      <App />
    </DashboardContext>,
  );
  await pass(100);
}

async function pass(ms: number) {
  await act(() => vi.advanceTimersByTimeAsync(ms));
}

function text(testId: string): string {
  return screen.getByTestId(testId).textContent;
}

test("the dashboard shows the pool's figures", async () => {
  await open();
  expect(text("pool-hashrate")).toBe("1.18kH/s");
  expect(text("freshness")).toBe("Live");
  for (const figure of ["61,234", "mining 61,235", "184,503.31", "1.84M", "2.3 % orphaned"]) {
    expect(screen.getAllByText(figure).length).toBeGreaterThan(0);
  }
  expect(screen.getByText("28 % of the network's 4.17 kH/s")).toBeDefined();
  expect(screen.getByText("7 records to count")).toBeDefined();
  expect(document.title).toBe("1.18 kH/s · Example Pool");
});

test("blocks and payouts stand in the stage they have reached", async () => {
  await open();
  expect(text("stage-confirming")).toContain("1/3");
  expect(text("stage-credited")).toContain("9.9000 BNT owed to 3 miners, next payout in 1 min 15 s");
  expect(text("stage-paid")).toContain("412.3000");
  expect(text("stage-settled")).toContain("7 miners");
  const settled = screen.getAllByTestId("payout-row").filter((row) => row.dataset["state"] === "settled");
  expect(settled).toHaveLength(1);
});

test("blocks found at the same height and moment have a mark each, which goes with its block", async () => {
  const report = vi.spyOn(console, "error").mockImplementation(() => undefined);
  let blocks = [block({ state: "displaced" }), block({ hash: "77".padEnd(64, "0") })];
  await open({ "/api/blocks": () => json(page(blocks)) });
  expect(screen.getAllByTestId("chart-marker")).toHaveLength(2);
  blocks = [block({ hash: "77".padEnd(64, "0") })];
  await pass(2_100);
  expect(screen.getAllByTestId("chart-marker")).toHaveLength(1);
  blocks = [];
  await pass(2_100);
  expect(screen.queryAllByTestId("chart-marker")).toHaveLength(0);
  expect(report).not.toHaveBeenCalled();
});

test("before the first share no round has begun", async () => {
  const round = { round_start: null, round_work: 0, expected_work: 1_250_000, effort_pct: 0 };
  await open({ "/api/stats": () => json({ ...stats, round }) });
  expect(screen.getByText("Elapsed").nextElementSibling?.textContent).toBe("–");
});

test("blocks found are counted once", async () => {
  await open({ "/api/blocks": () => json({ ...page([block()]), page: { limit: 20, offset: 0, returned: 1, total: 430 } }) });
  expect(screen.getByText("412 found")).toBeDefined();
});

test("a block that is credited moves, and the feed says so", async () => {
  let state: "seen" | "credited" = "seen";
  await open({ "/api/blocks": () => json(page([block({ state })])) });
  expect(within(screen.getByRole("log")).queryByText("Block 61,234 credited")).toBeNull();
  state = "credited";
  await pass(2_100);
  expect(within(screen.getByRole("log")).getByText("Block 61,234 credited")).toBeDefined();
  expect(text("stage-confirming")).toContain("none now");
});

test("when the pool stops answering the page keeps its figures, says how old they are, and recovers", async () => {
  let up = true;
  await open({
    "/api/stats": () => {
      if (!up) throw new TypeError("refused");
      return json(stats);
    },
  });
  up = false;
  await pass(34_000);
  expect(text("freshness")).toMatch(/^Stale for 3\d s$/);
  expect(text("stale-banner")).toContain("the pool cannot be reached");
  expect(text("pool-hashrate")).toBe("1.18kH/s");
  up = true;
  await pass(12_000);
  expect(text("freshness")).toBe("Live");
  expect(screen.queryByTestId("stale-banner")).toBeNull();
});

test("a pool that never answered leaves a page with dashes, not a blank one", async () => {
  const refuse = () => {
    throw new TypeError("refused");
  };
  await open({ "/api/stats": refuse, "/api/blocks": refuse, "/api/payouts/recent": refuse, "/api/info": refuse, "/readyz": refuse });
  expect(text("freshness")).toBe("No answer");
  expect(text("pool-hashrate")).toBe("–");
  expect(screen.getByText("No block has been found yet.")).toBeDefined();
});

test("an answer of an unexpected shape breaks one panel, not the page", async () => {
  const report = vi.spyOn(console, "error").mockImplementation(() => undefined);
  await open({ "/api/stats": () => json({ ...stats, validation: undefined }) });
  expect(screen.getByText("This part cannot show the pool's last answer.")).toBeDefined();
  expect(text("pool-hashrate")).toBe("1.18kH/s");
  expect(report).toHaveBeenCalled();
});

test("a pool that is not ready says why", async () => {
  await open({ "/readyz": () => json({ ready: false, reasons: ["no template from the daemon"] }, 503) });
  expect(text("freshness")).toBe("Not ready");
  expect(screen.getByText("no template from the daemon")).toBeDefined();
  expect(screen.getByTestId("health").dataset["ready"]).toBe("false");
});

test("a payout that waits for an operator shows its reason", async () => {
  await open({ "/api/payouts/recent": () => json(page([payout({ state: "unknown", attention: "outcome unknown" })])) });
  expect(within(screen.getByTestId("payout-row")).getByText("outcome unknown")).toBeDefined();
});

test("a link to a miner shows balance, workers, payouts and blocks", async () => {
  await open({ "/api/miner/9fKqT1mY": () => json(miner) }, "#/miner/9fKqT1mY");
  const totals = text("miner-totals");
  for (const figure of ["7.90 H/s", "25.3100", "27.9423 more expected", "10.0000", "9,910.00", "3,959", "1.03 % rejected"]) {
    expect(totals).toContain(figure);
  }
  expect(screen.getByText("rig-01")).toBeDefined();
  expect(screen.getAllByTestId("block-row")).toHaveLength(1);
  expect(screen.getByText("73")).toBeDefined();
});

test("an address that never mined here is said to be unknown", async () => {
  await open({ "/api/miner/nobody": () => json({ error: "unknown miner" }, 404) }, "#/miner/nobody");
  expect(screen.getByText("This pool has never seen a share from this address.")).toBeDefined();
});

test("the connect page names the public host and the terms", async () => {
  await open({}, "#/connect");
  expect(screen.getByText("stratum+tcp://pool.example:3333")).toBeDefined();
  expect(screen.getByText("PPLNS over 6h")).toBeDefined();
  expect(screen.queryByText(/own machine only/)).toBeNull();
});

test.each([
  ["127.0.0.1:3333, [::1]:3333", true],
  ["localhost:3333", true],
  ["127.0.0.1:3333, 0.0.0.0:3333", false],
  ["pool.example:3333", false],
])("a pool on %s is for its own machine only: %s", (listen, local) => {
  expect(isLocalOnly(listen)).toBe(local);
});

test("a pool that listens on loopback only says so", async () => {
  await open({ "/api/info": () => json({ ...info, pool_url: "", stratum_listen: "127.0.0.1:3333" }) }, "#/connect");
  expect(screen.getByText(/own machine only/)).toBeDefined();
});
