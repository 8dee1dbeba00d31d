import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

const ENV_MESSAGE = 'Read the environment in src/config.ts; only a main hands it in (style: config is one function).';
const TIMER_MESSAGE = 'Tests wait for facts, never for time: use a helper of test/support.';

const noEnv = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: ENV_MESSAGE,
};
const noEnvImport = {
  selector: 'ImportDeclaration[source.value=/^(node:)?process$/]',
  message: ENV_MESSAGE,
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.data/', 'bench/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // A promise nobody waits for is a message nobody settles.
      '@typescript-eslint/no-floating-promises': ['error', { ignoreVoid: false }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Brackets mark a key that may be absent, as in env['PORT'].
      '@typescript-eslint/dot-notation': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      eqeqeq: 'error',
      'no-console': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    // src/dev starts processes and hands its own environment on to them.
    ignores: ['src/config.ts', 'src/**/main.ts', 'src/dev/**'],
    rules: { 'no-restricted-syntax': ['error', noEnv, noEnvImport] },
  },
  {
    // Whoever starts processes or prints to a person does so by hand.
    files: ['src/dev/**/*.ts', 'src/letters/**/*.ts', 'src/ops/**/*.ts', 'src/**/main.ts', 'scripts/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    // Workflow code is bundled and replayed: a value from outside the sandbox breaks determinism or the bundle.
    files: ['src/workflows/**/*.ts'],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^(node:.*|fs|path|os|crypto|http|https|net|child_process|timers)(/.*)?$',
              message: 'There is no Node inside the workflow sandbox.',
            },
            {
              regex:
                '^(pg|pino|pino-pretty|zod|uuid|commander|@google-cloud|@temporalio/(client|worker|activity|testing|envconfig))(/.*)?$',
              allowTypeImports: true,
              message: 'Workflows import types and constants only.',
            },
            {
              regex: '^\\.\\./(?!contract/)',
              allowTypeImports: true,
              message: 'Workflows take values from contract/ only; activities are called through proxyActivities.',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    // The harness of the chaos runs decides when to break things; its tests wait for facts as all others do.
    ignores: ['test/support/**', 'test/chaos/!(*.test).ts'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...['setTimeout', 'setInterval'].map((name) => ({ name, message: TIMER_MESSAGE })),
      ],
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          paths: ['node:timers', 'node:timers/promises', 'timers/promises'].map((name) => ({
            name,
            message: TIMER_MESSAGE,
          })),
        },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: "CallExpression[callee.property.name='setTimeout']", message: TIMER_MESSAGE },
      ],
    },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // mocha's describe and it return what they return; assertions narrow better with `as` than with `!`.
      '@typescript-eslint/no-unused-expressions': 'off',
      // Code points are what the contract counts, and what a spread gives.
      '@typescript-eslint/no-misused-spread': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: {
      globals: Object.fromEntries(
        ['Buffer', 'TextEncoder', 'URL', 'console', 'process'].map((name) => [name, 'readonly']),
      ),
    },
  },
);
