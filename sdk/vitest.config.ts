import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { VITALS_INTEGRITY: '""', SIGNALS_INTEGRITY: '""', HELP_INTEGRITY: '""', UI_INTEGRITY: '""', EDGE_INTEGRITY: '""' },
  test: { include: ["test/**/*.test.ts"], environment: "node", testTimeout: 20_000, reporters: ["dot"] },
});
