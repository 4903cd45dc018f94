import { connect, Session, type Connection } from '@lancedb/lancedb';

/** Memory for what was read of tables, in bytes. */
export interface CacheSizes {
  indexBytes: bigint;
  metadataBytes: bigint;
}

/**
 * A connection to the tables of a folder whose caches are of these sizes; LanceDB's own limits are 6 GiB and 1 GiB. The session has to be one
 * of the options: as an argument of its own, which LanceDB has too, it is not used (0.39). It can be asked how much it holds.
 */
export async function connectBounded(
  path: string,
  { indexBytes, metadataBytes }: CacheSizes,
): Promise<{ connection: Connection; session: Session }> {
  const session = new Session(indexBytes, metadataBytes);
  // Without an interval a reader never sees what other processes write.
  const connection = await connect(path, { readConsistencyInterval: 0, session });
  return { connection, session };
}
