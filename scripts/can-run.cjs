/*
 * Runs before the npm scripts that people start by hand: says in one sentence why nothing would run, and exits 2.
 * Written for any Node there is (ES5, CommonJS): a Node that is too old must get as far as the sentence.
 *
 *   node scripts/can-run.cjs PACKAGE...    the packages that the script itself needs
 */
/* global process, __dirname */
'use strict';
var fs = require('fs');
var path = require('path');

var root = path.join(__dirname, '..');
var wanted = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).engines.node;

/* Of `>=20.19.0`: there is no other form here, and a test keeps it so. */
function isOlder(version, range) {
  var has = version.split('.').map(Number);
  var needs = range.replace('>=', '').split('.').map(Number);
  for (var i = 0; i < needs.length; i += 1) {
    if (has[i] !== needs[i]) return has[i] < needs[i];
  }
  return false;
}

function isThere(name) {
  return module.paths.some(function (folder) {
    return fs.existsSync(path.join(folder, name, 'package.json'));
  });
}

function refuse(sentence) {
  process.stderr.write(sentence + '\n');
  process.exit(2);
}

if (isOlder(process.versions.node, wanted)) {
  var need = 'Node ' + wanted.replace('>=', '') + ' or newer is needed, and this is ' + process.versions.node;
  var install =
    'install the current LTS from https://nodejs.org, or run "nvm install --lts" (macOS: "brew install node")';
  refuse(need + ': ' + install + ', then "npm ci".');
}

var missing = process.argv.slice(2).filter(function (name) {
  return !isThere(name);
});
if (missing.length > 0 && !isThere('commander')) refuse('The npm packages are not installed: run "npm ci" first.');
if (missing.length > 0) {
  refuse('npm packages are missing (' + missing.join(', ') + '): run "npm ci", without --omit=dev.');
}

/* tsx runs by esbuild, whose program is an optional package of its own for each kind of machine. */
var esbuild = '@esbuild/' + process.platform + '-' + process.arch;
if (!isThere(esbuild)) {
  refuse('The npm package ' + esbuild + ' is not installed: run "npm ci" on this machine, without --omit=optional.');
}
