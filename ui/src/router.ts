/** Pages by the address after `#`: a link to a miner can be kept and shared, and any server will do. */

import { useMemo, useSyncExternalStore } from "react";

export type Route = { page: "dashboard" } | { page: "miner"; address: string | null } | { page: "connect" };

export function parseRoute(hash: string): Route {
  const [page = "", ...rest] = hash.replace(/^#?\/?/, "").split("/");
  switch (page) {
    case "miner":
      return { page: "miner", address: decoded(rest.join("/")) };
    case "connect":
      return { page: "connect" };
    default:
      return { page: "dashboard" };
  }
}

export function minerHref(address: string): string {
  return `#/miner/${encodeURIComponent(address)}`;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text).trim() || null;
  } catch {
    return null;
  }
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("hashchange", listener);
  return () => {
    window.removeEventListener("hashchange", listener);
  };
}

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => window.location.hash);
  return useMemo(() => parseRoute(hash), [hash]);
}
