import type { Readiness } from "../api/types.ts";
import type { Freshness } from "../live/freshness.ts";
import type { Route } from "../router.ts";

interface HeaderProps {
  poolName: string | null;
  network: string | null;
  route: Route;
  fresh: Freshness;
  ready: Readiness | null;
}

const PAGES: readonly { page: Route["page"]; href: string; title: string }[] = [
  { page: "dashboard", href: "#/", title: "Dashboard" },
  { page: "miner", href: "#/miner", title: "Your miner" },
  { page: "connect", href: "#/connect", title: "Connect" },
];

export function Header({ poolName, network, route, fresh, ready }: HeaderProps) {
  return (
    <header className="top">
      <div className="top-inner">
        <a className="brand" href="#/">
          <Mark />
          <span className="brand-name">{poolName ?? "Mining pool"}</span>
          {network !== null && network !== "mainnet" && <span className="tag">{network}</span>}
        </a>
        <nav aria-label="Pages">
          {PAGES.map(({ page, href, title }) => (
            <a key={page} href={href} aria-current={page === route.page ? "page" : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <Status fresh={fresh} ready={ready} />
      </div>
    </header>
  );
}

function Status({ fresh, ready }: Pick<HeaderProps, "fresh" | "ready">) {
  const notReady = fresh.kind === "live" && ready?.ready === false;
  const kind = notReady ? "not-ready" : fresh.kind;
  return (
    <p className={`status status-${kind}`} data-testid="freshness" data-state={fresh.kind}>
      <span className="dot" aria-hidden="true" />
      {notReady ? "Not ready" : fresh.text}
    </p>
  );
}

function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <path d="M8 9 L24 9 L16 24 Z" />
      <circle cx="8" cy="9" r="4" />
      <circle cx="24" cy="9" r="4" />
      <circle cx="16" cy="24" r="4" />
    </svg>
  );
}
