/** What a definition is, in words that hold in every language. */
export type DefinitionKind =
  'class' | 'interface' | 'enum' | 'type' | 'module' | 'function' | 'method' | 'constant';

/** How a syntax node defines a symbol. */
export interface DefinitionRule {
  kind: DefinitionKind;
  /** The field that holds the name; `name` by default. Followed as long as the node found has it too (C's declarators). */
  name?: string;
  /** The field that holds the value: a function or class in it decides the kind. */
  value?: string;
  /** True where the node counts only when `value` holds a function or a class. */
  valueDecides?: boolean;
  /** True where the node without a body only announces or names something (`struct a;`, `mod b;`). */
  needsBody?: boolean;
  /** The field that names the type a method belongs to (Go). */
  receiver?: string;
}

/**
 * One language that is chunked along its syntax. Adding a language is adding a row.
 * Node and field names are those of the tree-sitter grammar.
 */
export interface Grammar {
  /** The name a search filters by. Two rows may share it. */
  language: string;
  /** `tree-sitter-<wasm>.wasm` in the grammar package. */
  wasm: string;
  extensions: string[];
  fileNames?: string[];
  /** Programs of a `#!` line, without version numbers. */
  interpreters?: string[];
  definitions: Record<string, DefinitionRule>;
  /** Nodes that only dress a definition: `export`, decorators, templates. */
  wrappers: string[];
  /** Nodes without a name of their own whose children are looked at one by one, except inside functions. */
  transparent: string[];
  /** Nodes besides comments that belong to the node below them. */
  leading: string[];
}

const scriptDefinitions: Record<string, DefinitionRule> = {
  function_declaration: { kind: 'function' },
  generator_function_declaration: { kind: 'function' },
  function_expression: { kind: 'function' },
  class_declaration: { kind: 'class' },
  class: { kind: 'class' },
  method_definition: { kind: 'method' },
  variable_declarator: { kind: 'constant', value: 'value' },
  assignment_expression: { kind: 'function', name: 'left', value: 'right', valueDecides: true },
  field_definition: { kind: 'method', name: 'property', value: 'value', valueDecides: true },
  pair: { kind: 'method', name: 'key', value: 'value', valueDecides: true },
};

const typedScriptDefinitions: Record<string, DefinitionRule> = {
  ...scriptDefinitions,
  abstract_class_declaration: { kind: 'class' },
  interface_declaration: { kind: 'interface' },
  type_alias_declaration: { kind: 'type' },
  enum_declaration: { kind: 'enum' },
  internal_module: { kind: 'module' },
  module: { kind: 'module' },
  public_field_definition: { kind: 'method', value: 'value', valueDecides: true },
};

const scriptShape = {
  wrappers: [
    'export_statement',
    'expression_statement',
    'lexical_declaration',
    'variable_declaration',
    'ambient_declaration',
  ],
  transparent: [],
  leading: ['decorator'],
};

const cShape = {
  wasm: 'cpp',
  definitions: {
    function_definition: { kind: 'function', name: 'declarator' },
    class_specifier: { kind: 'class', needsBody: true },
    struct_specifier: { kind: 'class', needsBody: true },
    union_specifier: { kind: 'class', needsBody: true },
    enum_specifier: { kind: 'enum', needsBody: true },
    type_definition: { kind: 'type', name: 'declarator' },
    alias_declaration: { kind: 'type' },
    concept_definition: { kind: 'type' },
    preproc_function_def: { kind: 'function' },
  } satisfies Record<string, DefinitionRule>,
  wrappers: ['template_declaration'],
  transparent: [
    'preproc_ifdef',
    'preproc_if',
    'preproc_else',
    'preproc_elif',
    'namespace_definition',
    'linkage_specification',
    'declaration_list',
  ],
  leading: ['access_specifier', 'attribute_declaration'],
};

export const GRAMMARS: Grammar[] = [
  {
    language: 'typescript',
    wasm: 'typescript',
    extensions: ['ts', 'mts', 'cts'],
    interpreters: ['ts-node', 'deno'],
    definitions: typedScriptDefinitions,
    ...scriptShape,
  },
  {
    language: 'typescript',
    wasm: 'tsx',
    extensions: ['tsx'],
    definitions: typedScriptDefinitions,
    ...scriptShape,
  },
  {
    language: 'javascript',
    wasm: 'javascript',
    extensions: ['js', 'mjs', 'cjs', 'jsx'],
    interpreters: ['node', 'nodejs', 'bun'],
    definitions: scriptDefinitions,
    ...scriptShape,
  },
  {
    language: 'python',
    wasm: 'python',
    extensions: ['py', 'pyi', 'pyw'],
    fileNames: ['SConstruct', 'SConscript', 'wscript'],
    interpreters: ['python', 'pypy'],
    definitions: {
      function_definition: { kind: 'function' },
      class_definition: { kind: 'class' },
      assignment: { kind: 'constant', name: 'left' },
    },
    wrappers: ['decorated_definition', 'expression_statement'],
    transparent: [
      'if_statement',
      'elif_clause',
      'else_clause',
      'try_statement',
      'except_clause',
      'finally_clause',
      'with_statement',
      'block',
    ],
    leading: [],
  },
  {
    language: 'go',
    wasm: 'go',
    extensions: ['go'],
    definitions: {
      function_declaration: { kind: 'function' },
      method_declaration: { kind: 'method', receiver: 'receiver' },
      type_spec: { kind: 'type' },
      type_alias: { kind: 'type' },
      const_spec: { kind: 'constant' },
      var_spec: { kind: 'constant' },
    },
    wrappers: ['type_declaration', 'const_declaration', 'var_declaration', 'var_spec_list'],
    transparent: [],
    leading: [],
  },
  {
    language: 'rust',
    wasm: 'rust',
    extensions: ['rs'],
    definitions: {
      function_item: { kind: 'function' },
      struct_item: { kind: 'class' },
      union_item: { kind: 'class' },
      enum_item: { kind: 'enum' },
      trait_item: { kind: 'interface' },
      impl_item: { kind: 'class', name: 'type' },
      mod_item: { kind: 'module', needsBody: true },
      type_item: { kind: 'type' },
      const_item: { kind: 'constant' },
      static_item: { kind: 'constant' },
      macro_definition: { kind: 'function' },
    },
    wrappers: [],
    transparent: ['foreign_mod_item', 'declaration_list'],
    leading: ['attribute_item'],
  },
  {
    language: 'java',
    wasm: 'java',
    extensions: ['java'],
    definitions: {
      class_declaration: { kind: 'class' },
      record_declaration: { kind: 'class' },
      interface_declaration: { kind: 'interface' },
      annotation_type_declaration: { kind: 'interface' },
      enum_declaration: { kind: 'enum' },
      method_declaration: { kind: 'method' },
      constructor_declaration: { kind: 'method' },
      compact_constructor_declaration: { kind: 'method' },
    },
    wrappers: [],
    transparent: ['enum_body_declarations'],
    leading: [],
  },
  { language: 'c', extensions: ['c'], ...cShape },
  {
    language: 'cpp',
    extensions: ['cc', 'cpp', 'cxx', 'c++', 'hh', 'hpp', 'hxx', 'h++', 'ipp', 'inl', 'tpp', 'cu', 'cuh'],
    ...cShape,
  },
  {
    language: 'csharp',
    wasm: 'c-sharp',
    extensions: ['cs', 'csx'],
    definitions: {
      class_declaration: { kind: 'class' },
      struct_declaration: { kind: 'class' },
      record_declaration: { kind: 'class' },
      interface_declaration: { kind: 'interface' },
      enum_declaration: { kind: 'enum' },
      delegate_declaration: { kind: 'type' },
      method_declaration: { kind: 'method' },
      constructor_declaration: { kind: 'method' },
      destructor_declaration: { kind: 'method' },
      local_function_statement: { kind: 'function' },
      property_declaration: { kind: 'method' },
    },
    wrappers: ['global_statement'],
    transparent: [
      'namespace_declaration',
      'file_scoped_namespace_declaration',
      'declaration_list',
      'preproc_if',
    ],
    leading: [],
  },
  {
    language: 'ruby',
    wasm: 'ruby',
    extensions: ['rb', 'rake', 'gemspec', 'ru'],
    fileNames: ['Rakefile', 'Gemfile', 'Vagrantfile', 'Guardfile', 'Podfile', 'Fastfile'],
    interpreters: ['ruby'],
    definitions: {
      class: { kind: 'class' },
      module: { kind: 'module' },
      method: { kind: 'method' },
      singleton_method: { kind: 'method' },
    },
    // `private def name` is a call with the definition as its argument.
    wrappers: ['call', 'argument_list'],
    transparent: ['singleton_class', 'body_statement'],
    leading: [],
  },
  {
    language: 'php',
    wasm: 'php',
    extensions: ['php', 'phtml', 'inc'],
    interpreters: ['php'],
    definitions: {
      class_declaration: { kind: 'class' },
      trait_declaration: { kind: 'class' },
      interface_declaration: { kind: 'interface' },
      enum_declaration: { kind: 'enum' },
      function_definition: { kind: 'function' },
      method_declaration: { kind: 'method' },
    },
    wrappers: [],
    transparent: ['namespace_definition', 'if_statement', 'compound_statement'],
    leading: [],
  },
  {
    language: 'shell',
    wasm: 'bash',
    extensions: ['sh', 'bash', 'zsh', 'ksh', 'bats'],
    fileNames: ['.bashrc', '.bash_profile', '.profile', '.zshrc', 'PKGBUILD', 'APKBUILD'],
    interpreters: ['sh', 'bash', 'zsh', 'dash', 'ksh', 'ash'],
    definitions: { function_definition: { kind: 'function' } },
    wrappers: [],
    transparent: [],
    leading: [],
  },
];
