/** Arguments of commands, each refused with a sentence that says what it takes. */
import { InvalidArgumentError } from 'commander';
import { BUILD_ID, BUILD_ID_FORM } from './config.ts';

/** @throws InvalidArgumentError */
export const whole = (min: number, max: number) => (text: string) => {
  const isNumber = /^\d+$/.test(text) && text.length <= String(max).length;
  if (!isNumber || Number(text) < min || Number(text) > max) {
    throw new InvalidArgumentError(`a whole number from ${String(min)} to ${String(max)}`);
  }
  return Number(text);
};

/** @throws InvalidArgumentError */
export function buildIdArgument(text: string): string {
  if (!BUILD_ID.test(text)) throw new InvalidArgumentError(BUILD_ID_FORM);
  return text;
}
