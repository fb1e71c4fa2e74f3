// The gateway beside graphql-js, the reference implementation: random documents, valid and invalid, with
// random variables. Both have to accept the same ones and to answer them with the same data, key by key,
// and with errors at the same paths.
//
//   node oracle.mjs URL SCHEMA [DOCUMENTS] [SEED]
//
// graphql-js reads the printed schema. Its resolvers ask the gateway for everything below one field, in one
// plain query, so that both work on the same records and only what the document makes of them differs.
//
// Exceptions, where graphql-js 16 differs from the specification of September 2025, so that none of these
// is generated: descriptions on operations, fragments and variables; @skip and @include on the root field
// of a subscription; equal texts in merged arguments that are written in different ways. One difference is the gateway's own: a variable that is null where @skip or @include
// needs a value refuses the request, instead of leaving no data. No more than 50 errors are written.

import { readFileSync } from 'node:fs';
import { buildSchema, execute, getNamedType, isLeafType, isObjectType, parse, validate } from 'graphql';
import { Random, RandomDocument } from './documents.mjs';

const [url, schemaFile, wanted = '2000', seed = '1'] = process.argv.slice(2);
/** The maximum number of errors that the gateway writes. */
const MOST_ERRORS = 50;
const NULL_CONDITION = /^variable \$\w+ got null: Boolean! is needed$/;

const schema = buildSchema(readFileSync(schemaFile, 'utf8'));
const dateTime = schema.getType('DateTime');
dateTime.parseValue = (value) => {
  if (typeof value !== 'string' || Number.isNaN(Date.parse(value))) {
    throw new TypeError('no instant');
  }
  return value;
};
dateTime.parseLiteral = (node) => dateTime.parseValue(node.kind === 'StringValue' ? node.value : undefined);

let freshness = {};

async function post(body) {
  const headers = { 'content-type': 'application/json', 'x-auth-token': 'demo-token', ...freshness };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  return response.json();
}

/** Whether a field has a resolver of its own, below a project. */
function isOfProject(type, field) {
  return type.name === 'Project' && !isLeafType(getNamedType(field.type));
}

/** Everything below a type that needs no argument and does not differ from call to call. */
function everything(type) {
  const fields = Object.values(type.getFields()).filter(
    (field) => !field.name.startsWith('download') && field.name !== 'operations' && !isOfProject(type, field),
  );
  const selected = fields.map((field) => {
    const named = getNamedType(field.type);
    return isLeafType(named) ? field.name : `${field.name} { ${everything(named)} }`;
  });
  return selected.join(' ');
}

/** A field's value from the gateway, in which what failed throws. */
async function read(parent, parentArguments, field, values) {
  const declared = [];
  const sent = {};
  const given = (name, fieldArguments, own) =>
    fieldArguments
      .filter((argument) => own[argument.name] !== undefined)
      .map((argument) => {
        const variable = `${name}_${argument.name}`;
        declared.push(`$${variable}: ${argument.type}`);
        sent[variable] = own[argument.name];
        return `${argument.name}: $${variable}`;
      });
  const call = (name, fieldArguments, own) => {
    const passed = given(name, fieldArguments, own);
    return passed.length > 0 ? `${name}(${passed.join(', ')})` : name;
  };
  let selection = `${call(field.name, field.args, values)} { ${everything(getNamedType(field.type))} }`;
  if (parent) {
    selection = `${call(parent, root[parent].args, parentArguments)} { ${selection} }`;
  }
  const variables = declared.length > 0 ? `(${declared.join(', ')})` : '';
  const query = `query${variables} { ${selection} }`;
  const response = await post({ query, variables: sent });
  if (response.errors?.[0].extensions.code === 'QUERY_TOO_COMPLEX') {
    isTooMuch = true;
  }
  for (const error of response.errors ?? []) {
    fail(response, ['data', ...(error.path ?? [])], error.message);
  }
  const value = response.data?.[parent ?? field.name];
  return parent ? value?.[field.name] : value;
}

/** Puts an error in the place of a value. */
function fail(response, path, message) {
  let place = response;
  for (const step of path.slice(0, -1)) {
    place = place?.[step];
  }
  if (typeof place !== 'object' || place === null) {
    throw new Error(message);
  }
  const last = path.at(-1);
  place[last] = Array.isArray(place)
    ? new Error(message)
    : () => {
        throw new Error(message);
      };
}

let memory = new Map();
/** Whether everything below some field is over a limit, so that there is nothing to compare with. */
let isTooMuch = false;

/** A value of the gateway, read once for the same arguments. */
function remembered(parent, parentArguments, field, values) {
  const key = JSON.stringify([parent, parentArguments, field.name, values]);
  if (!memory.has(key)) {
    memory.set(key, read(parent, parentArguments, field, values));
  }
  return memory.get(key);
}

const root = schema.getQueryType().getFields();
for (const field of Object.values(root)) {
  if (isObjectType(getNamedType(field.type))) {
    field.resolve = async (_, values) => {
      const value = await remembered(null, null, field, values);
      return typeof value === 'function' ? value() : value;
    };
  }
}
for (const field of Object.values(schema.getType('Project').getFields())) {
  // The field of a project answers as the root's does for the project's id.
  if (isOfProject(schema.getType('Project'), field)) {
    field.resolve = (project, values, ...rest) => root[field.name].resolve(project, { ...values, projectId: project.id }, ...rest);
  }
}
const operations = schema.getType('ScreenRecord').getFields().operations;
operations.resolve = async (record, values) => {
  const key = { projectId: record.projectId, id: record.id };
  const value = await remembered('screenRecord', key, operations, values);
  return typeof value === 'function' ? value() : value;
};

/** What graphql-js answers. */
async function expected({ query, variables }) {
  let document;
  try {
    document = parse(query);
  } catch {
    return { refused: true };
  }
  if (validate(schema, document).length > 0) {
    return { refused: true };
  }
  const response = await execute({ schema, document, variableValues: variables });
  // Responses without data are request errors.
  return 'data' in response ? answered(response) : { refused: true };
}

function answered(response) {
  const paths = (response.errors ?? []).map((error) => JSON.stringify(error.path)).sort();
  return { data: JSON.stringify(response.data), paths };
}

function shown(response) {
  return 'data' in response ? answered(response) : { refused: true };
}

const random = new Random(Number(seed));
const { data } = await post({ query: '{ __typename }' });
if (data?.__typename !== 'Query') {
  throw new Error('the gateway does not answer');
}
const [project, ...records] = await knownRecords();
const counts = { valid: 0, refused: 0, over_a_limit: 0, null_condition: 0, failed: 0 };
for (let number = 0; number < Number(wanted); number += 1) {
  const request = new RandomDocument(schema, random, project, records).request();
  const verdict = await compare(request);
  counts[verdict] += 1;
}
console.log(counts);
console.log(`${Number(wanted) - counts.failed} passed, ${counts.failed} failed`);
process.exit(counts.failed === 0 && counts.valid > 300 && counts.refused > 300 ? 0 : 1);

/** The demo's project and a few of its records. */
async function knownRecords() {
  const projectId = '089b2f9a3d80d3062f24c00ca4ed5cbd';
  const query = 'query($p: ID!) { screenRecords(projectId: $p, first: 4, filter: {status: UPLOAD_COMPLETED}) { nodes { id } } }';
  const listed = await post({ query, variables: { p: projectId } });
  return [projectId, ...listed.data.screenRecords.nodes.map((node) => node.id)];
}

async function compare(request) {
  // Recordings come and change meanwhile: a difference has to show again between what is read anew.
  for (let attempt = 0; ; attempt += 1) {
    freshness = attempt > 0 ? { 'cache-control': 'no-cache' } : {};
    const response = await post(request);
    const code = response.errors?.[0]?.extensions?.code;
    if (code === 'QUERY_TOO_COMPLEX') {
      return 'over_a_limit';
    }
    if (NULL_CONDITION.test(response.errors?.[0]?.message)) {
      return 'null_condition';
    }
    isTooMuch = false;
    const [actual, wantedAnswer] = [shown(response), await expected(request)];
    if (isTooMuch) {
      return 'over_a_limit';
    }
    if (agree(actual, wantedAnswer)) {
      return actual.refused ? 'refused' : 'valid';
    }
    if (attempt > 1) {
      console.log(`FAILED  ${JSON.stringify(request)}`);
      console.log(`  graphql-js: ${JSON.stringify(wantedAnswer).slice(0, 700)}`);
      console.log(`  gateway:    ${JSON.stringify(actual).slice(0, 700)} ${response.errors?.[0]?.message ?? ''}`);
      return 'failed';
    }
    memory = new Map();
  }
}

function agree(actual, wantedAnswer) {
  if (actual.data === 'null' && wantedAnswer.data === 'null') {
    // graphql-js gives up at the first error that leaves no data; the others may be told, too.
    return wantedAnswer.paths.every((path) => actual.paths.includes(path));
  }
  if (actual.paths?.length === MOST_ERRORS) {
    return actual.data === wantedAnswer.data && actual.paths.every((path) => wantedAnswer.paths.includes(path));
  }
  return JSON.stringify(actual) === JSON.stringify(wantedAnswer);
}
