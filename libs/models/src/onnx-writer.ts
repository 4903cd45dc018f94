/**
 * Writes ONNX files. ONNX is protobuf, but writing one graph takes two wire types and a dozen messages, so this is
 * shorter than a protobuf library and its generated classes. Field numbers are those of onnx.proto (IR version 8).
 */

type Bytes = Buffer[];

/** ONNX element types (TensorProto.DataType) that our graphs use. */
export const FLOAT = 1;
export const UINT8 = 2;
export const INT32 = 6;
export const INT64 = 7;
export const FLOAT16 = 10;

export interface Attributes {
  [name: string]: { int: number } | { ints: number[] } | { float: number };
}

export interface Node {
  op: string;
  /** '' leaves an optional input out. */
  inputs: string[];
  outputs: string[];
  /** '' is ONNX itself, 'com.microsoft' holds onnxruntime's fused operators. */
  domain?: '' | 'com.microsoft';
  attributes?: Attributes;
}

/** A weight that lies in another file of the same folder, mapped and never copied by whoever reads the graph. */
export interface ExternalTensor {
  name: string;
  elementType: number;
  dims: number[];
  file: string;
  /** Bytes from the start of the file. */
  offset: number;
  bytes: number;
}

/** A small constant inside the graph file. */
export interface InlineTensor {
  name: string;
  dims: number[];
  values: Float32Array | BigInt64Array;
}

/** An input or output; a dimension given as a string is free, one given as null is free and like no other. */
export interface GraphValue {
  name: string;
  elementType: number;
  dims: (number | string | null)[];
}

export interface Graph {
  name: string;
  inputs: GraphValue[];
  outputs: GraphValue[];
  nodes: Node[];
  weights: (ExternalTensor | InlineTensor)[];
}

const IR_VERSION = 8;
const OPSETS = { '': 17, 'com.microsoft': 1 };

/** The bytes of an ONNX ModelProto. */
export function encodeOnnxModel(graph: Graph): Buffer {
  const opsets = Object.entries(OPSETS).map(([domain, version]) =>
    message(8, [...text(1, domain), ...varint(2, version)]),
  );
  return Buffer.concat([
    ...varint(1, IR_VERSION),
    ...text(2, 'embergate'),
    ...message(7, encodeGraph(graph)),
    ...opsets.flat(),
  ]);
}

function encodeGraph(graph: Graph): Bytes {
  return [
    ...graph.nodes.flatMap((node, index) => message(1, encodeNode(node, index))),
    ...text(2, graph.name),
    ...graph.weights.flatMap((tensor) => message(5, encodeTensor(tensor))),
    ...graph.inputs.flatMap((value) => message(11, encodeValue(value))),
    ...graph.outputs.flatMap((value) => message(12, encodeValue(value))),
  ];
}

function encodeNode(node: Node, index: number): Bytes {
  const attributes = Object.entries(node.attributes ?? {});
  return [
    ...node.inputs.flatMap((name) => text(1, name)),
    ...node.outputs.flatMap((name) => text(2, name)),
    ...text(3, `${node.op}_${index}`),
    ...text(4, node.op),
    ...attributes.flatMap(([name, value]) => message(5, encodeAttribute(name, value))),
    ...text(7, node.domain ?? ''),
  ];
}

/** AttributeProto: the value's own field, and the field that says which one it is. */
function encodeAttribute(name: string, value: Attributes[string]): Bytes {
  if ('int' in value) return [...text(1, name), ...varint(3, value.int), ...varint(20, 2)];
  if ('ints' in value)
    return [...text(1, name), ...value.ints.flatMap((int) => varint(8, int)), ...varint(20, 7)];
  const float = Buffer.alloc(4);
  float.writeFloatLE(value.float);
  return [...text(1, name), tag(2, 5), float, ...varint(20, 1)];
}

function encodeTensor(tensor: ExternalTensor | InlineTensor): Bytes {
  const dims = tensor.dims.flatMap((dim) => varint(1, dim));
  if ('values' in tensor) {
    const { values } = tensor;
    const raw = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
    const elementType = values instanceof Float32Array ? FLOAT : INT64;
    return [...dims, ...varint(2, elementType), ...text(8, tensor.name), ...message(9, [raw])];
  }
  const place = { location: tensor.file, offset: String(tensor.offset), length: String(tensor.bytes) };
  const external = Object.entries(place).flatMap(([key, value]) =>
    message(13, [...text(1, key), ...text(2, value)]),
  );
  return [...dims, ...varint(2, tensor.elementType), ...text(8, tensor.name), ...external, ...varint(14, 1)];
}

function encodeValue(value: GraphValue): Bytes {
  const dims = value.dims.flatMap((dim) =>
    message(1, dim === null ? [] : typeof dim === 'number' ? varint(1, dim) : text(2, dim)),
  );
  const tensorType = message(1, [...varint(1, value.elementType), ...message(2, dims)]);
  return [...text(1, value.name), ...message(2, tensorType)];
}

function tag(field: number, wireType: number): Buffer {
  return unsigned(BigInt(field * 8 + wireType));
}

function varint(field: number, value: number): Bytes {
  // Protobuf writes negative int64 values as their two's complement of 64 bits.
  return [tag(field, 0), unsigned(BigInt.asUintN(64, BigInt(value)))];
}

function text(field: number, value: string): Bytes {
  return message(field, [Buffer.from(value)]);
}

function message(field: number, content: Bytes): Bytes {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return [tag(field, 2), unsigned(BigInt(length)), ...content];
}

function unsigned(value: bigint): Buffer {
  const bytes: number[] = [];
  for (; value > 127n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
  bytes.push(Number(value));
  return Buffer.from(bytes);
}
