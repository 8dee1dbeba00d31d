/** Whether a text holds a secret, in any of the forms in which a program writes what it was given. */
export function formsOf(secret: string): readonly string[] {
  const encoded = encodeURIComponent(secret);
  const quoted = JSON.stringify(secret).slice(1, -1);
  return [
    ...new Set([
      secret,
      encoded,
      encoded.replaceAll(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()),
      encodeURI(secret),
      quoted,
      // Inside a JSON string that is inside another.
      JSON.stringify(quoted).slice(1, -1),
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      Buffer.from(secret).toString('base64url'),
      Buffer.from(secret).toString('hex'),
      // Where its runs of letters and digits begin: a part of it, cut as JSON.parse cuts what it quotes, or escaped.
      ...secret.split(/[^A-Za-z0-9]+/).flatMap((part) => (part.length >= 8 ? [part.slice(0, 8)] : [])),
    ]),
  ];
}

export interface Leak {
  readonly secret: string;
  readonly line: string;
}

/** Names of the secrets that stand in the text, each with the first line that shows it. */
export function leaksIn(text: string, secrets: Readonly<Record<string, string>>): Leak[] {
  return Object.entries(secrets).flatMap(([name, secret]) => {
    const form = formsOf(secret).find((each) => text.includes(each));
    if (form === undefined) return [];
    return [{ secret: name, line: text.split('\n').find((line) => line.includes(form)) ?? form }];
  });
}
