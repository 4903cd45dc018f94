import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['libs/**/*.test.ts', 'apps/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/global-setup.ts'],
    // Two cores: files that start servers and models must not starve each other.
    maxWorkers: 2,
    // Generous: they end what hangs, and measure nothing.
    testTimeout: 120_000,
    hookTimeout: 300_000,
  },
});
