import { AppError } from '@embergate/contracts/errors.ts';
import { PROVIDERS, type Device } from './devices.ts';

/** One entry of onnxruntime's profile, as far as it matters here: a node that ran says what it is and who computed it. */
export interface ProfileEvent {
  cat?: string;
  name?: string;
  args?: { op_name?: string; provider?: string };
}

/** Where the nodes of a session have run. */
export interface NodeProof {
  device: Device;
  /** How many nodes did matrix work, all of them on the device. */
  matrixNodes: number;
  /** Types of the other nodes that the CPU computed, in alphabetical order. */
  onCpu: string[];
}

/** Operators, onnxruntime's own included, that a model's time goes into. What only looks up, adds or reshapes is not among them. */
const MATRIX_WORK = /MatMul|Gemm|Attention|Conv(?!ert)|Einsum|MoE|LSTM|GRU|RNN/;

/**
 * Tells from the profile of a session's run where its nodes ran. onnxruntime gives a node that its first provider does not
 * know to the CPU and goes on; a model that is computed there would be slow without anybody knowing why.
 *
 * @throws AppError `device_unavailable` where a node that does matrix work ran elsewhere, or none is in the profile.
 */
export function proveNodes(events: readonly ProfileEvent[], device: Device): NodeProof {
  const matrixNodes = new Set<string>();
  const strayed = new Set<string>();
  const onCpu = new Set<string>();
  for (const { cat, name = '', args: { op_name: type, provider } = {} } of events) {
    if (cat !== 'Node' || type === undefined || provider === undefined) continue;
    const isElsewhere = provider !== PROVIDERS[device];
    if (MATRIX_WORK.test(type)) (isElsewhere ? strayed : matrixNodes).add(isElsewhere ? type : name);
    else if (provider === PROVIDERS.cpu) onCpu.add(type);
  }
  if (strayed.size > 0) {
    throw new AppError(
      'device_unavailable',
      `${device} does not compute this model: ${sorted(strayed).join(', ')} ran elsewhere.`,
    );
  }
  if (matrixNodes.size === 0) {
    throw new AppError(
      'device_unavailable',
      `No node of this model was seen to do matrix work on ${device}.`,
    );
  }
  return { device, matrixNodes: matrixNodes.size, onCpu: device === 'cpu' ? [] : sorted(onCpu) };
}

/** The same for people. */
export function describeProof({ device, matrixNodes, onCpu }: NodeProof): string {
  const rest = onCpu.length > 0 ? `, ${onCpu.join(', ')} on the CPU` : '';
  return `${matrixNodes} nodes with matrix work ran on ${device}${rest}`;
}

const sorted = (names: ReadonlySet<string>): string[] => [...names].sort();
