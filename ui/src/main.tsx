import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { DashboardStore } from "./live/dashboard.ts";
import { DashboardContext } from "./live/hooks.ts";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";
import "./styles/tables.css";
import "./styles/journey.css";

const root = document.getElementById("root");
if (root === null) throw new Error("the page has no #root element");

const store = new DashboardStore();
store.start();

createRoot(root).render(
  <StrictMode>
    <DashboardContext value={store}>
      <App />
    </DashboardContext>
  </StrictMode>,
);
