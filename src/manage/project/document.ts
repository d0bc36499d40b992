/** A project's file as YAML (of which JSON is a part) with the place of everything in it. */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Alias,
  type Document,
  type Node,
} from 'yaml';
import { VexitError } from '../../util/errors.js';
import { aboutFile, MAX_DEPTH, textOf, tooDeep } from './file-text.js';
import { ProjectError, type Problem } from './problems.js';
import { substitute } from './variables.js';

/** Values that are looked at: an alias stands for all that is in it, as often as it is written. */
const MAX_VISITS = 20_000;
/** Mappings that take in a mapping that takes in another one. */
const MAX_MERGES = 8;
/** More mistakes than anybody reads. */
const MAX_PROBLEMS = 100;

/** A value that has no parts. */
export interface Scalar {
  readonly value: string | number | boolean | null;
  /** As it is written, after variables have been put in. */
  readonly text: string;
  /** There was a variable in it. */
  readonly put?: boolean;
}

/** One file and what has been found wrong with it. */
export class ProjectDocument {
  readonly problems: Problem[] = [];
  /** Mistakes beyond those that are kept. */
  private more = 0;
  private visits = 0;
  private readonly lines = new LineCounter();
  private readonly document: Document.Parsed;
  private targets: Map<Alias, Node> | undefined;

  private constructor(
    readonly file: string,
    text: string,
    readonly env: Readonly<NodeJS.ProcessEnv>,
  ) {
    // Duplicate keys are found by Place: the parser compares each with each.
    const options = { lineCounter: this.lines, uniqueKeys: false, prettyErrors: false } as const;
    this.document = parseDocument(text, options);
    for (const { pos, message, code } of [...this.document.errors, ...this.document.warnings]) {
      if (code === 'MULTIPLE_DOCS')
        this.problem(pos[0], '', 'a second document begins', 'a file has one');
      else if (!this.knows(pos[0])) this.problem(pos[0], '', message.split('\n')[0]!);
    }
  }

  /** The parser often says two things about one place. */
  private knows(offset: number): boolean {
    const { line, col } = this.lines.linePos(offset);
    return this.problems.some((one) => one.line === line && one.column === col);
  }

  /**
   * Reads a file.
   * @throws ProjectError when it is not text, or not YAML
   */
  static read(file: string, env: Readonly<NodeJS.ProcessEnv> = process.env): ProjectDocument {
    return ProjectDocument.parse(file, textOf(file), env);
  }

  /** @throws ProjectError for what is not YAML */
  static parse(
    file: string,
    text: string,
    env: Readonly<NodeJS.ProcessEnv> = process.env,
  ): ProjectDocument {
    if (text.trim() === '') {
      throw aboutFile(file, 'the file is empty', 'describe at least one VM under "vms:"');
    }
    const deep = tooDeep(text);
    if (deep !== undefined) {
      const before = text.slice(0, deep).split('\n');
      const [line, column] = [before.length, before.at(-1)!.length + 1];
      const message = `more than ${MAX_DEPTH} lists and mappings in each other`;
      throw new ProjectError([{ file, line, column, path: '', message }]);
    }
    const document = new ProjectDocument(file, text, env);
    document.finish();
    return document;
  }

  /** @throws ProjectError with everything that was found, if anything was */
  finish(): void {
    if (this.problems.length === 0) return;
    const sorted = this.problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
    if (this.more > 0) {
      const message = `${this.more} more mistakes are not shown`;
      sorted.push({ file: this.file, line: 0, column: 0, path: '', message });
    }
    throw new ProjectError(sorted);
  }

  get root(): Place {
    return new Place(this, this.document.contents, '', 0);
  }

  problem(offset: number, path: string, message: string, hint?: string): void {
    const { line, col } = this.lines.linePos(offset);
    const place = { file: this.file, line: Math.max(line, 1), column: Math.max(col, 1), path };
    // What is looked at twice is wrong once.
    const said = this.problems.some(
      (one) => one.line === place.line && one.column === place.column && one.message === message,
    );
    if (said) return;
    if (this.problems.length >= MAX_PROBLEMS) {
      this.more++;
      return;
    }
    this.problems.push({ ...place, message, ...(hint === undefined ? {} : { hint }) });
  }

  lineOf(offset: number): number {
    return this.lines.linePos(offset).line;
  }

  /** Counts a value that is looked at; false when there have been too many. */
  visit(offset: number, path: string): boolean {
    if (++this.visits <= MAX_VISITS) return true;
    if (this.visits === MAX_VISITS + 1) {
      this.problem(offset, path, `more than ${MAX_VISITS} values`, 'use fewer aliases');
    }
    return false;
  }

  /** What an alias stands for. */
  resolve(node: Node | null, path: string): Node | null {
    if (!isAlias(node)) return node;
    this.targets ??= aliasTargets(this.document);
    const target = this.targets.get(node);
    if (target !== undefined) return target;
    this.problem(
      node.range?.[0] ?? 0,
      path,
      `nothing before has the anchor &${node.source}`,
      'check the name',
    );
    return null;
  }
}

/** What the aliases stand for: the last node before each that has the anchor. */
function aliasTargets(document: Document.Parsed): Map<Alias, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Node: (_, node) => {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target !== undefined) targets.set(node, target);
      } else if (node.anchor !== undefined) {
        anchors.set(node.anchor, node);
      }
    },
  });
  return targets;
}

/** An entry of a mapping. */
export interface Entry {
  readonly key: string;
  readonly keyOffset: number;
  readonly value: Place;
}

/** A value in the file. */
export class Place {
  private readonly node: Node | null;
  /** Nothing is known about it, which has been reported. */
  readonly lost: boolean;
  /** Of the first character; for an alias where the alias is. */
  readonly offset: number;

  constructor(
    readonly document: ProjectDocument,
    node: Node | null,
    readonly path: string,
    fallback: number,
  ) {
    const [begin = fallback, end = fallback] = node?.range ?? [];
    // A key without a value: the nothing may be lines further down.
    this.offset = begin === end ? fallback : begin;
    this.node = document.visit(this.offset, path) ? document.resolve(node, path) : null;
    this.lost = this.node === null && node !== null;
  }

  /** Of the first character; from 1. */
  get line(): number {
    return this.document.lineOf(this.offset);
  }

  problem(message: string, hint?: string): void {
    this.document.problem(this.offset, this.path, message, hint);
  }

  /** Runs what may refuse the value with ERR_CONFIG, which is reported. */
  attempt<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof VexitError)) throw error;
      this.problem(
        error.message.replace(/^--[\w-]+ /, ''),
        error.hint?.replace('write --', 'write '),
      );
      return undefined;
    }
  }

  get kind(): 'scalar' | 'list' | 'map' | 'nothing' {
    const { node } = this;
    if (isMap(node)) return 'map';
    if (isSeq(node)) return 'list';
    return isScalar(node) && node.value !== null ? 'scalar' : 'nothing';
  }

  /** The value with variables put in; undefined when that is not possible, which has been said. */
  scalar(): Scalar | undefined {
    const { node } = this;
    if (!isScalar(node)) return { value: null, text: '' };
    const { value } = node;
    if (typeof value === 'string') return this.text(value);
    if (typeof value === 'boolean' || typeof value === 'number') {
      return { value, text: node.source ?? String(value) };
    }
    return { value: null, text: node.source ?? '' };
  }

  private text(value: string): Scalar | undefined {
    const put = substitute(value, this.document.env);
    if ('problem' in put) {
      this.problem(put.problem, put.hint);
      return undefined;
    }
    const { text } = put;
    if (text === value) return { value: text, text };
    // Variables are text, and in a flow mapping they need quotation marks: what it becomes is what it looks like.
    if (/^-?\d{1,15}(\.\d{1,15})?$/.test(text)) return { value: Number(text), text, put: true };
    return { value: text === 'true' ? true : text === 'false' ? false : text, text, put: true };
  }

  items(): Place[] {
    const { node } = this;
    if (!isSeq(node)) return [];
    return node.items.map(
      (item, i) => new Place(this.document, item as Node | null, `${this.path}[${i}]`, this.offset),
    );
  }

  /** Entries by key, those of `<<` after the mapping's own. Keys that are there twice are reported. */
  entries(merges = 0): Entry[] {
    const entries = new Map<string, Entry>();
    const merged: Entry[] = [];
    for (const { key, offset, value } of this.pairs()) {
      if (key === '<<') {
        const from = new Place(this.document, value, this.path, offset);
        const sources = from.kind === 'list' ? from.items() : [from];
        for (const source of sources) {
          if (source.kind !== 'map') source.problem('<< needs a mapping', 'write <<: *anchor');
          else if (merges >= MAX_MERGES) source.problem('too many << in each other');
          else merged.push(...source.entries(merges + 1).map((one) => this.adopt(one)));
        }
        continue;
      }
      const path = this.path === '' ? key : `${this.path}.${key}`;
      if (entries.has(key)) {
        this.document.problem(offset, path, `${key} is given twice`, 'leave one out');
        continue;
      }
      entries.set(key, {
        key,
        keyOffset: offset,
        value: new Place(this.document, value, path, offset),
      });
    }
    for (const entry of merged) if (!entries.has(entry.key)) entries.set(entry.key, entry);
    return [...entries.values()];
  }

  /** The value of a key, or this mapping itself when it has no such key: for a mistake that is about it. */
  at(key: string): Place {
    return this.entries().find((entry) => entry.key === key)?.value ?? this;
  }

  /** An entry of a mapping that is merged into this one, under its path. */
  private adopt({ key, keyOffset, value }: Entry): Entry {
    const path = this.path === '' ? key : `${this.path}.${key}`;
    return { key, keyOffset, value: new Place(this.document, value.node, path, keyOffset) };
  }

  private *pairs(): Generator<{ key: string; offset: number; value: Node | null }> {
    const { node } = this;
    if (!isMap(node)) return;
    for (const pair of node.items) {
      const written = pair.key as Node | null;
      const offset = written?.range?.[0] ?? this.offset;
      const key = this.document.resolve(written, this.path);
      if (!isScalar(key)) {
        this.document.problem(offset, this.path, 'a key has to be text', 'quote it');
        continue;
      }
      const text = typeof key.value === 'string' ? key.value : (key.source ?? '');
      yield { key: text, offset, value: pair.value as Node | null };
    }
  }
}
