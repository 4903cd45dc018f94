// autocannon in a process of its own, so that it takes nothing from the one that measures. Each request asks for another
// text. argv: URL, clients, seconds, model. Prints autocannon's result as JSON.
import autocannon from 'autocannon';
import { newText } from './texts.ts';

const [url = '', clients = '64', seconds = '30', model = ''] = process.argv.slice(2);
const result = await autocannon({
  url: `${url}/v1/embeddings`,
  connections: Number(clients),
  duration: Number(seconds),
  requests: [
    {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      setupRequest: (request) => ({ ...request, body: JSON.stringify({ model, input: newText() }) }),
    },
  ],
});
console.log(JSON.stringify(result));
