/**
 * What the real provider refuses by the words of its own schema ("Possible values: [...]"), and terraform by itself does
 * not know. `undefined` is a value that is not known yet, `null` one that is not set.
 */
export function faultsOf({ attributes, block_types: blocks }, value, path = '') {
  const here = (name) => (path === '' ? name : `${path}.${name}`);
  const own = Object.entries(attributes).flatMap(([name, { values }]) => {
    const given = value[name];
    if (values === undefined || typeof given !== 'string' || given === '' || values.includes(given)) return [];
    return [`${here(name)} is ${JSON.stringify(given)}, and may be ${values.join(', ')}`];
  });
  const inner = Object.entries(blocks).flatMap(([name, { nesting_mode: mode, block }]) => {
    const given = value[name];
    if (given === undefined || given === null) return [];
    const items =
      mode === 'list' || mode === 'set' ? [...given.entries()] : mode === 'map' ? Object.entries(given) : [['', given]];
    return items.flatMap(([key, item]) =>
      item === undefined || item === null ? [] : faultsOf(block, item, `${here(name)}${key === '' ? '' : `[${key}]`}`),
    );
  });
  return [...own, ...inner];
}
