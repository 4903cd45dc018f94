import { AppError } from '@embergate/contracts/errors.ts';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** @throws AppError `port_in_use`. Port 0, any free one, always is. */
export async function assertPortFree(host: string, port: number): Promise<void> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new AppError('port_in_use', `Port ${port} on ${host} is in use. Set GATEWAY_PORT to another one.`, {
      cause: error,
    });
  }
  server.close();
  await once(server, 'close');
}
