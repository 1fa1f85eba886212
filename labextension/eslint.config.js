import js from '@eslint/js';
import ts from 'typescript-eslint';

export default ts.config({ ignores: ['lib', 'node_modules'] }, js.configs.recommended, {
  files: ['src/**/*.{ts,tsx}'],
  extends: [ts.configs.strictTypeChecked, ts.configs.stylisticTypeChecked],
  languageOptions: { parserOptions: { projectService: true } },
  rules: {
    eqeqeq: 'error',
    // JupyterLab's own convention: a token and its interface share one name, `IThing`.
    '@typescript-eslint/no-redeclare': 'off',
    '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }]
  }
});
