import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { beforeAll, describe, expect, test, vi } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const files = new Map<string, string>();

function put(name: string, body: string | Uint8Array) {
  files.set(name, typeof body === "string" ? body : Buffer.from(body).toString("utf8"));
}

describe("the built page", () => {
  beforeAll(async () => {
    // The runner says "test"; the bundle that is served is the production one.
    vi.stubEnv("NODE_ENV", "production");
    const result = await build({ root: ROOT, logLevel: "silent", build: { write: false } });
    if (!("output" in result)) throw new Error("one build was expected");
    for (const item of result.output) put(item.fileName, item.type === "chunk" ? item.code : item.source);
  }, 60_000);

  test("the bundle has the fixed names that other pages link to", () => {
    expect([...files.keys()].sort()).toEqual(["index.html", "ui-assets/app.css", "ui-assets/app.js"]);
    expect(files.get("index.html")).toMatch(/src="\/ui-assets\/app\.js\?v=[0-9a-f]{12}"/);
    expect(files.get("index.html")).toMatch(/href="\/ui-assets\/app\.css\?v=[0-9a-f]{12}"/);
  });

  test("nothing in the page needs a policy looser than default-src 'self'", () => {
    const html = files.get("index.html") ?? "";
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)/);
    expect(html).not.toMatch(/<style|\bstyle=|\bon[a-z]+=/);
    expect(files.get("ui-assets/app.css")).not.toMatch(/url\((?!"?'?#)|@import/);
    expect(files.get("ui-assets/app.js")).not.toMatch(/\beval\(|new Function\(/);
  });

  test("no other host is asked for anything", () => {
    const hosts = new Set<string>();
    for (const body of files.values()) {
      for (const match of body.matchAll(/https?:\/\/([a-z0-9.-]+)/g)) hosts.add(match[1] ?? "");
    }
    // Names of XML vocabularies and of the framework's error pages; neither is ever fetched.
    expect([...hosts].filter((host) => !["www.w3.org", "react.dev"].includes(host))).toEqual([]);
  });

  test("the first load stays small", () => {
    const bytes = [...files.values()].reduce((sum, body) => sum + gzipSync(body).length, 0);
    expect(bytes).toBeLessThan(100_000);
  });
});
