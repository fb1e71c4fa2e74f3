// A test's own CA, and a certificate for localhost that it has signed.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Makes both in a new folder; returns the paths of the files and a function that removes them. */
export function certificates() {
  const folder = mkdtempSync(join(tmpdir(), "tls-"));
  const file = (name) => join(folder, name);
  const openssl = (...args) => execFileSync("openssl", args, { stdio: "ignore" });
  const request = (name, subject) =>
    ["req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", file(`${name}.key`)];

  writeFileSync(file("leaf.cnf"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n");
  openssl(...request("authority", "/CN=authority"), "-x509", "-days", "2", "-out", file("authority.pem"));
  openssl(...request("leaf", "/CN=localhost"), "-out", file("leaf.csr"));
  openssl(
    ..."x509 -req -days 2 -CAcreateserial".split(" "),
    ...["-in", file("leaf.csr"), "-CA", file("authority.pem"), "-CAkey", file("authority.key")],
    ...["-extfile", file("leaf.cnf"), "-out", file("leaf.pem")],
  );
  return {
    authority: file("authority.pem"),
    certificate: file("leaf.pem"),
    key: file("leaf.key"),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
