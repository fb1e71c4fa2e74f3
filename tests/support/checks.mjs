// Shared by the suites of client tests.

/** Throws unless both values are equal as JSON. */
export function equal(actual, expected) {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    throw new Error(`${shown(actual)} instead of ${shown(expected)}`);
  }
}

/** Runs checks by name, one after the other; prints each and the counts; how many failed. */
export async function run(checks) {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(`ok      ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED  ${name}: ${error.message ?? shown(error)}`);
    }
  }
  console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
  return failed;
}

function shown(value) {
  return JSON.stringify(value)?.slice(0, 500);
}
