// Random GraphQL documents for a schema: mostly valid, with one fault here and there.

import { getNamedType, isEnumType, isInputObjectType, isLeafType, isListType, isNonNullType } from 'graphql';

/** A sequence of numbers from a seed (Marsaglia's xorshift). */
export class Random {
  constructor(seed) {
    this.state = seed >>> 0 || 1;
  }

  below(bound) {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % bound;
  }

  /** True once in `times`. */
  once(times) {
    return this.below(times) === 0;
  }

  of(values) {
    return values[this.below(values.length)];
  }
}

const FAULT = 250;
const INSTANTS = ['2026-01-01T00:00:00Z', '2036-01-01T00:00:00.123+08:00'];

/** One document and its variables. */
export class RandomDocument {
  constructor(schema, random, project, records) {
    Object.assign(this, { schema, random, project, records });
    this.variables = new Map();
    this.fragments = [];
    this.budget = 24;
    this.aliases = 0;
    // graphql-js takes equal texts for different arguments where they are written in different ways.
    this.style = random.below(6);
  }

  request() {
    const body = this.selection(this.schema.getQueryType(), 0);
    const fragments = this.fragments.map(({ name, type, text }) => `fragment ${name} on ${type} ${text}`);
    const operation = `${this.head()}${body}`;
    const definitions = this.random.once(3) ? [...fragments, operation] : [operation, ...fragments];
    let query = definitions.join(this.random.of([' ', '\n', ',\n# and\n']));
    if (this.random.once(60)) {
      query = this.broken(query);
    }
    return { query, variables: this.values };
  }

  /** The operation up to its selections; decides the variables' values. */
  head() {
    this.values = {};
    if (this.random.once(40)) {
      this.variables.set('unused', { type: 'Int', text: '1' });
    }
    const declared = [...this.variables].map(([name, { type, sample, literal }]) => {
      const hasDefault = literal !== undefined && this.random.once(3);
      if (!hasDefault || this.random.once(2)) {
        if (!this.random.once(12)) {
          this.values[name] = this.random.once(40) ? this.oddValue() : sample ?? 1;
        }
      }
      const written = this.random.once(FAULT) ? this.random.of(['Int', 'String', '[ID!]', 'Nope']) : type;
      return `$${name}: ${written}${hasDefault ? ` = ${literal}` : ''}`;
    });
    const name = this.random.of(['', ' Q', ' query']);
    if (declared.length === 0) {
      return this.random.once(2) ? `query${name} ` : '';
    }
    return `query${name}(${declared.join(this.random.of([' ', ', ']))}) `;
  }

  oddValue() {
    return this.random.of([null, 'odd', 7, true, [], {}, [null], 2 ** 31, { startedAfter: 'x' }]);
  }

  selection(type, depth) {
    const count = 1 + this.random.below(4);
    const parts = Array.from({ length: count }, () => this.part(type, depth));
    if (this.random.once(150)) {
      return '{ }';
    }
    return `{ ${parts.join(' ')} }`;
  }

  part(type, depth) {
    this.budget -= 1;
    const kind = this.budget > 0 ? this.random.below(12) : 11;
    if (kind === 0) {
      const on = this.random.of(['', `on ${this.condition(type)} `]);
      return `... ${on}${this.directives()}${this.selection(type, depth)}`;
    }
    if (kind === 1) {
      return `...${this.spread(type, depth)}${this.directives()}`;
    }
    return this.field(type, depth);
  }

  condition(type) {
    return this.random.once(FAULT) ? this.random.of(['Desktop', 'Query', 'Nope', 'String']) : type.name;
  }

  spread(type, depth) {
    const known = this.fragments.filter((fragment) => fragment.type === type.name);
    if (known.length > 0 && this.random.once(2)) {
      return ` ${this.random.of(known).name} `;
    }
    if (this.random.once(FAULT)) {
      return ' Missing ';
    }
    const fragment = { name: `F${this.fragments.length}`, type: type.name };
    // It may spread itself only now and then: most documents with a cycle test nothing else.
    if (this.random.once(8)) {
      this.fragments.push(fragment);
      fragment.text = this.selection(type, depth);
    } else {
      const text = this.selection(type, depth);
      fragment.name = `F${this.fragments.length}`;
      this.fragments.push(Object.assign(fragment, { text }));
    }
    return ` ${fragment.name} `;
  }

  field(type, depth) {
    if (this.random.once(14)) {
      return `${this.alias()}__typename${this.directives()}`;
    }
    if (this.random.once(FAULT * 2)) {
      return 'nonsense';
    }
    const fields = Object.values(type.getFields()).filter(
      (field) => !field.name.startsWith('download') && (depth < 5 || isLeafType(getNamedType(field.type))),
    );
    const leaves = fields.filter((field) => isLeafType(getNamedType(field.type)));
    const field = this.budget <= 0 && leaves.length > 0 ? this.random.of(leaves) : this.random.of(fields);
    const named = getNamedType(field.type);
    let below = '';
    if (!isLeafType(named)) {
      below = this.random.once(FAULT * 2) ? '' : ` ${this.selection(named, depth + 1)}`;
    } else if (this.random.once(FAULT * 4)) {
      below = ' { id }';
    }
    // Fields of one name with different arguments are in conflict, which is tried often enough.
    const alias = field.args.length > 0 && !this.random.once(6) ? `r${this.aliases++}: ` : this.alias();
    return `${alias}${field.name}${this.arguments(field)}${this.directives()}${below}`;
  }

  alias() {
    return this.random.once(12) ? `${this.random.of(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'id', 'size', 'nodes'])}: ` : '';
  }

  arguments(field) {
    const given = [];
    for (const argument of field.args) {
      const isNeeded = isNonNullType(argument.type);
      if (isNeeded ? !this.random.once(FAULT * 2) : this.random.once(4)) {
        given.push(`${argument.name}: ${this.value(argument.type, argument.name)}`);
      }
    }
    if (this.random.once(FAULT * 3)) {
      given.push('nonsense: 1');
    }
    if (given.length > 0 && this.random.once(FAULT * 3)) {
      given.push(given[0]);
    }
    if (this.random.once(3)) {
      given.reverse();
    }
    return given.length > 0 ? `(${given.join(', ')})` : '';
  }

  directives() {
    if (!this.random.once(7)) {
      return ' ';
    }
    const one = () => {
      const name = this.random.of(['skip', 'include']);
      if (this.random.once(FAULT)) {
        return this.random.of([`@${name}`, `@${name}(if: "x")`, `@${name}(if: null)`, '@nonsense', `@${name}(unless: true)`]);
      }
      const value = this.random.once(2) ? this.random.of(['true', 'false']) : this.variable('Boolean!', this.random.of([true, false]));
      return `@${name}(if: ${value})`;
    };
    return this.random.once(5) ? ` ${one()} ${one()} ` : ` ${one()} `;
  }

  /** A variable of a type: an existing one or a new one. */
  variable(type, sample, literal = JSON.stringify(sample)) {
    const known = [...this.variables].filter(([, variable]) => variable.type === type);
    if (known.length > 0 && this.random.once(2)) {
      return `$${this.random.of(known)[0]}`;
    }
    if (this.random.once(FAULT * 2)) {
      return '$undefined';
    }
    const name = `v${this.variables.size}`;
    // Where a default stands in for a value that is needed, the type need not say so.
    this.variables.set(name, { type, sample, literal });
    return `$${name}`;
  }

  value(type, name) {
    if (this.random.once(FAULT)) {
      return this.random.of(['null', '"odd"', '7', 'true', 'ODD', '[]', '{}', '[[1]]', '{odd: 1}', '1.5', '$undefined']);
    }
    const { literal, sample } = this.sample(type, name);
    if (this.random.once(4)) {
      return this.variable(String(type), sample, literal);
    }
    return literal;
  }

  /** A value of a type as a literal and as a variable's value. */
  sample(type, name) {
    if (isNonNullType(type)) {
      return this.sample(type.ofType, name);
    }
    if (isListType(type)) {
      const items = Array.from({ length: this.random.below(3) }, () => this.sample(type.ofType, name));
      if (items.length === 1 && this.random.once(2)) {
        return items[0];
      }
      return { literal: `[${items.map((item) => item.literal).join(' ')}]`, sample: items.map((item) => item.sample) };
    }
    if (isEnumType(type)) {
      const value = this.random.of(type.getValues()).name;
      return { literal: this.random.once(FAULT) ? `"${value}"` : value, sample: value };
    }
    if (isInputObjectType(type)) {
      return this.object(type);
    }
    return this.scalar(type.name, name);
  }

  object(type) {
    const members = Object.values(type.getFields()).filter(() => this.random.once(4));
    const literals = [];
    const sample = {};
    for (const member of members) {
      const value = this.sample(member.type, member.name);
      const inner = this.random.once(5) ? this.variable(String(member.type), value.sample, value.literal) : value.literal;
      literals.push(`${member.name}: ${inner}`);
      sample[member.name] = value.sample;
    }
    if (literals.length > 0 && this.random.once(FAULT)) {
      literals.push(this.random.of([literals[0], 'odd: 1']));
    }
    // A default may not hold variables, and no literal that does is one.
    const literal = `{${literals.join(', ')}}`;
    return { literal, sample };
  }

  scalar(type, name) {
    if (type === 'DateTime') {
      const value = this.random.once(FAULT) ? 'yesterday' : this.random.of(INSTANTS);
      return { literal: JSON.stringify(value), sample: value };
    }
    if (type === 'Int') {
      const value = this.random.of([0, 1, 2, 3, 5, -1, 1001]);
      return { literal: value === 0 ? this.random.of(['0', '-0']) : String(value), sample: value };
    }
    if (name === 'projectId') {
      const value = this.random.once(20) ? 'another-project' : this.project;
      return { literal: this.text(value), sample: value };
    }
    if (name === 'id') {
      const value = this.random.of([...this.records, ...this.records, 'missing', '../x', '', '7']);
      const literal = value === '7' ? this.random.of(['7', '"7"']) : this.text(value);
      return { literal, sample: value };
    }
    const value = this.random.of(['alice', '', 'a "b" \\ \n é', '桌面']);
    return { literal: this.text(value), sample: value };
  }

  /** A text as a string literal, in one of its notations. */
  text(value) {
    switch (this.style) {
      case 0:
        return /^[\w-]+$/u.test(value) ? `"""${value}"""` : JSON.stringify(value);
      case 1:
        return `"${[...value].map((character) => `\\u{${character.codePointAt(0).toString(16)}}`).join('')}"`;
      case 2:
        return `"${[...value].map((character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`;
      default:
        return JSON.stringify(value);
    }
  }

  /** The text, perhaps with a syntax error. */
  broken(text) {
    const at = this.random.below(text.length);
    return this.random.of([
      text.slice(0, at),
      text.slice(0, at) + text.slice(at + 1),
      `${text.slice(0, at)}${this.random.of(['{', '}', '(', ')', '"', '$', '@', '!', '\\', '0', 'é'])}${text.slice(at)}`,
    ]);
  }
}
