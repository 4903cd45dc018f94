/** Pulls the model in a process of its own: `node pull-child.ts MODEL_DIR HUB_URL`. Prints the folder. */
import { pullModel } from '../src/pull.ts';

const [, , modelDir = '', hubUrl = ''] = process.argv;
const installed = await pullModel('all-MiniLM-L6-v2', { modelDir, hubUrl, python: 'no-such-python' });
process.stdout.write(installed.folder);
