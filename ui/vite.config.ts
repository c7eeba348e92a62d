import { createHash } from "node:crypto";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import type { Plugin } from "vite";

// The pool's API during `npm run dev`. Any running pool will do.
const api = process.env["MESHPOOL_API"] ?? "http://127.0.0.1:24783";

/**
 * The bundle has fixed names (`/ui-assets/app.js`, `/ui-assets/app.css`), because other pages link
 * to them. A fixed name defeats a cache, so the page itself asks for `?v=<content hash>`.
 */
function versionedAssets(): Plugin {
  return {
    name: "meshpool:versioned-assets",
    apply: "build",
    enforce: "post",
    transformIndexHtml: {
      order: "post",
      handler(html, context) {
        let out = html;
        for (const item of Object.values(context.bundle ?? {})) {
          const body = item.type === "chunk" ? item.code : item.source;
          const version = createHash("sha256").update(body).digest("hex").slice(0, 12);
          out = out.replace(`"/${item.fileName}"`, `"/${item.fileName}?v=${version}"`);
        }
        return out;
      },
    },
  };
}

export default defineConfig({
  base: "/",
  plugins: [react(), versionedAssets()],
  server: {
    proxy: Object.fromEntries(["/api", "/readyz", "/livez"].map((path) => [path, api])),
  },
  build: {
    outDir: "dist",
    target: "es2022",
    cssCodeSplit: false,
    // A strict content security policy refuses data: addresses and inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      output: {
        entryFileNames: "ui-assets/app.js",
        chunkFileNames: "ui-assets/[name].js",
        assetFileNames: (asset) =>
          asset.names.some((name) => name.endsWith(".css"))
            ? "ui-assets/app.css"
            : "ui-assets/[name][extname]",
      },
    },
  },
  test: {
    // A test that needs a page says so in its first line.
    environment: "node",
    include: ["src/**/*.test.{ts,tsx}", "tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});
