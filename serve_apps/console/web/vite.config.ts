import { defineConfig } from "vite";

// Built files go beside the router that serves them; their names hold a hash of their content.
export default defineConfig({
  base: "/console/",
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: ["chrome125", "firefox128", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2000,
    rolldownOptions: { input: ["index.html", "docs.html"] },
  },
  // npm run dev: pages with reload, the API of a platform on the default port.
  server: { proxy: { "/mlops": "http://127.0.0.1:8000", "/v2": "http://127.0.0.1:8000" } },
});
