/** DNS messages: queries of the guest, answers of resolvers, and what is made of them. */
import {
  addressAnswer,
  answerAddresses,
  answersQuery,
  errorAnswer,
  isTruncated,
  parseQuery,
  recordTypeName,
  ResponseCode,
  DNS_HEADER,
} from '../../../src/net/dns/dns-message.js';
import { IpAddress } from '../../../src/net/wire/address.js';
import { must } from '../engine/must.js';
import type { FuzzTarget } from '../engine/target.js';

const ADDRESSES = { 1: IpAddress.of('10.0.2.15'), 28: IpAddress.of('fe80::2') } as const;

/** A case is a query and an answer: two bytes say where one ends. */
function run(bytes: Uint8Array): void {
  const cut = Math.min(bytes.length, 2 + (bytes[0] ?? 0) + 256 * ((bytes[1] ?? 0) & 3));
  const question = bytes.subarray(2, cut);
  const answer = bytes.subarray(cut);
  const query = parseQuery(question);
  if (query === undefined) return;
  if (typeof query === 'number') {
    must(errorAnswer(question, query, DNS_HEADER).length === DNS_HEADER, 'an error has a header');
    return;
  }
  must(query.end <= question.length && query.name.length < 1024, 'a name has a bounded length');
  must(recordTypeName(query.type).length > 0, 'a type has a name');
  const error = errorAnswer(question, ResponseCode.ServerFailure, query.end);
  must(answersQuery(error, query, query.id), 'an error answers its query');
  if (query.type === 1 || query.type === 28) {
    const made = addressAnswer(query, [ADDRESSES[query.type], ADDRESSES[query.type]], 10);
    must(answersQuery(made, query, query.id), 'an answer answers its query');
    must(answerAddresses(made).length === 2, 'its addresses come out again');
  }
  if (answer.length < DNS_HEADER) return;
  isTruncated(answer);
  answersQuery(answer, query, query.id);
  must(answerAddresses(answer).length <= answer.length / 14, 'no more addresses than records fit');
}

const QUERY = '123401000001000000000000046e616d6503746c640000010001';
const message = (query: string, answer: string): Uint8Array =>
  Uint8Array.from([query.length / 2, 0, ...Buffer.from(query + answer, 'hex')]);
const QUESTION = '046e616d6503746c640000010001';
const A = 'c00c000100010000000a00040a000001';
const ALIAS = 'c00c000500010000000a0004016103c011';

export const target: FuzzTarget = {
  name: 'dns',
  maxBytes: 1024,
  seeds: [
    message(QUERY, `123481800001000200000000${QUESTION}${ALIAS}${A}`),
    message(QUERY.replace('0000010001', '00001c0001'), `123481800001000100000000${QUESTION}${A}`),
    message('12340100000100000000000001410142c00c00010001', ''),
    message('1234280000010000000000000000010001', ''),
  ],
  dictionary: ['c00c', 'c00e', 'c0ff', '3f', '00010001', '001c0001', '8180', '0000000a0004'].map(
    (hex) => Uint8Array.from(Buffer.from(hex, 'hex')),
  ),
  open: () => ({ run }),
};
