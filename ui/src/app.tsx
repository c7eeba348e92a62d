import { useEffect, useRef } from "react";
import { Header } from "./components/header.tsx";
import { Boundary } from "./components/panel.tsx";
import { formatDateTime, formatHashrate, parseTime } from "./format.ts";
import { freshness } from "./live/freshness.ts";
import type { Freshness } from "./live/freshness.ts";
import { useDashboard, useNow } from "./live/hooks.ts";
import { ConnectPage } from "./pages/connect.tsx";
import { DashboardPage } from "./pages/dashboard.tsx";
import { MinerPage } from "./pages/miner.tsx";
import { useRoute } from "./router.ts";

export function App() {
  const dashboard = useDashboard();
  const nowMs = useNow();
  const route = useRoute();
  const main = useRef<HTMLElement>(null);
  const { stats, info, ready } = dashboard.docs;
  const fresh = freshness(stats, nowMs);
  const poolName = info.value?.pool_name ?? null;
  const hashrate = fresh.kind === "live" ? stats.value?.pool.hashrate : undefined;

  useEffect(() => {
    const name = poolName ?? "Mining pool";
    document.title = hashrate === undefined ? name : `${formatHashrate(hashrate)} · ${name}`;
  }, [poolName, hashrate]);

  return (
    <div className="page" data-fresh={fresh.kind}>
      <button
        type="button"
        className="skip"
        onClick={() => {
          main.current?.focus();
        }}
      >
        Skip to the figures
      </button>
      <Header poolName={poolName} network={info.value?.network ?? null} route={route} fresh={fresh} ready={ready.value} />
      <StaleBanner fresh={fresh} />
      <main ref={main} tabIndex={-1}>
        <Boundary>
          {route.page === "dashboard" && <DashboardPage dashboard={dashboard} fresh={fresh} nowMs={nowMs} />}
          {route.page === "miner" && <MinerPage address={route.address} nowMs={nowMs} />}
          {route.page === "connect" && <ConnectPage info={info.value} />}
        </Boundary>
      </main>
      <footer className="foot">
        {info.value !== null && (
          <>
            <span>meshpool {info.value.version}</span>
            <span>running since {formatDateTime(parseTime(info.value.started_at))}</span>
          </>
        )}
        <a href="/api/stats">The same figures as JSON</a>
      </footer>
    </div>
  );
}

function StaleBanner({ fresh }: { fresh: Freshness }) {
  const bad = fresh.kind === "stale" || fresh.kind === "unreachable";
  return (
    <div role="status" aria-live="polite">
      {bad && (
        <p className="banner" data-testid="stale-banner">
          {fresh.detail}
        </p>
      )}
    </div>
  );
}
