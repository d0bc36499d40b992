export default {
  testEnvironment: 'node',
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'commonjs' } },
    ],
  },
  // The published entry point is what integration tests use: workers need built files.
  // Imports are written as Node.js resolves them after compilation; the sources are .ts.
  moduleNameMapper: {
    '^vexit$': '<rootDir>/dist/index.js',
    '^vexit/jest$': '<rootDir>/dist/jest.js',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/types', '<rootDir>/build'],
  testTimeout: 120_000,
  reporters: ['default', '<rootDir>/test/support/summary-reporter.cjs'],
};
