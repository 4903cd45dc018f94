/**
 * How an indexer is started, so that it stays small whatever the size of a repository: its threads share two of glibc's arenas instead of
 * keeping freed memory in one each, large buffers (vectors, Arrow) are given back to the system at once instead of leaving holes, V8
 * collects short-lived objects at 4 MB instead of letting 64 MB of them lie, and LanceDB compacts and indexes 1,024 rows at a time instead of
 * 8,192, reads 32 MB ahead with two threads instead of 2 GB with eight, and builds full text in parts of 16 MB instead of 256. It costs no time that could be
 * measured, but for texts of which each has words of its own (docs/benchmarks.md, "Memory"). docker-compose.yml says the same.
 */
export const LEAN_MEMORY = {
  env: {
    MALLOC_ARENA_MAX: '2',
    MALLOC_MMAP_THRESHOLD_: '65536',
    MALLOC_TRIM_THRESHOLD_: '65536',
    LANCE_FTS_PARTITION_SIZE: '16',
    LANCE_DEFAULT_IO_BUFFER_SIZE: '33554432',
    LANCE_IO_THREADS: '2',
    LANCE_DEFAULT_BATCH_SIZE: '1024',
  },
  nodeOptions: ['--max-semi-space-size=4'],
} as const;
