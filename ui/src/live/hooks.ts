/** The few hooks that connect components to what lives outside of them. */

import { createContext, useContext, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Dashboard, DashboardStore } from "./dashboard.ts";
import { Poller } from "./poller.ts";
import type { Known } from "./poller.ts";

export const DashboardContext = createContext<DashboardStore | null>(null);

export function useDashboard(): Dashboard {
  const store = useContext(DashboardContext);
  if (store === null) throw new Error("no dashboard store above this component");
  return useSyncExternalStore(store.subscribe, store.get);
}

/** The wall clock, once per second: ages on the page move although no answer arrives. */
export function useNow(): number {
  const [nowMs, setNowMs] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      setNowMs(Date.now());
    }, 1_000);
    return () => {
      clearInterval(timer);
    };
  }, []);
  return nowMs;
}

/** One document, asked for while the component is on the page. */
export function usePolled<T>(path: string, intervalMs: number): Known<T> {
  const poller = useMemo(() => new Poller<{ it: T }>({ it: { path } }, { intervalMs }), [path, intervalMs]);
  useEffect(() => {
    poller.start();
    return () => {
      poller.stop();
    };
  }, [poller]);
  return useSyncExternalStore(poller.subscribe, poller.get).it;
}
