/** The words of a command inside of a shell's text: quotes are taken off, what is substituted stays as it is written. */

/** Each run of `program` in `text`: its words after the program's name. */
export function runsOf(program: string, text: string): string[][] {
  const starts = [...text.matchAll(new RegExp(`(?<![\\w./-])${program}(?= )`, 'g'))];
  return starts.map(({ index }) => wordsFrom(text, index + program.length));
}

function wordsFrom(text: string, start: number): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let at = start;
  const push = (): void => {
    if (word !== null) words.push(word);
    word = null;
  };
  while (at < text.length) {
    const char = text[at] ?? '';
    if (char === ' ') push();
    else if ('|;&)\n#'.includes(char)) break;
    else if ((char === '<' || char === '>') && text[at + 1] !== '(') break;
    else if (char === "'" || char === '"') {
      const end = endOfQuote(text, at);
      word = (word ?? '') + text.slice(at + 1, end);
      at = end;
    } else if ('$<>'.includes(char) && text[at + 1] === '(') {
      const end = endOfParentheses(text, at + 1);
      word = (word ?? '') + text.slice(at, end + 1);
      at = end;
    } else word = (word ?? '') + char;
    at += 1;
  }
  push();
  return words;
}

function endOfQuote(text: string, start: number): number {
  const quote = text[start];
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\' && quote === '"') at += 1;
    else if (quote === '"' && text.startsWith('$(', at)) at = endOfParentheses(text, at + 1);
    else if (text[at] === quote) return at;
  }
  return text.length;
}

function endOfParentheses(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at += 1) {
    const char = text[at];
    if (char === "'" || char === '"') at = endOfQuote(text, at);
    else if (char === '(') depth += 1;
    else if (char === ')' && (depth -= 1) === 0) return at;
  }
  return text.length;
}
