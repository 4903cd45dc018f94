/**
 * The environment of every git command: HOME, PATH and the like as they are, and nothing that steers git itself, which
 * could lead it to another repository. It asks nobody, takes no locks for reading, and leaves large files (LFS) as the
 * pointers they are: what they point to is somebody's server.
 */
export function gitEnvironment(): NodeJS.ProcessEnv {
  // eslint-disable-next-line no-restricted-properties -- passed on, not read
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'));
  return {
    ...Object.fromEntries(inherited),
    GIT_LFS_SKIP_SMUDGE: '1',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_TERMINAL_PROMPT: '0',
    LC_ALL: 'C',
  };
}
