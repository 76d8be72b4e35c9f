import js from "@eslint/js";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules", "dist"] },
  js.configs.recommended,
  ...tseslint.configs.strict,
  {
    files: ["src/**/*.ts"],
    rules: {
      "no-console": "error",
      "no-alert": "error",
      "no-eval": "error",
      "max-lines": ["error", 300],
      "no-restricted-properties": ["error", { object: "document", property: "cookie" }],
      "no-empty": ["error", { allowEmptyCatch: true }],
    },
  },
  { files: ["test/**/*.ts"], rules: { "@typescript-eslint/no-non-null-assertion": "off" } },
  { files: ["*.js", "*.mjs"], languageOptions: { globals: { process: "readonly", console: "readonly" } } },
);
