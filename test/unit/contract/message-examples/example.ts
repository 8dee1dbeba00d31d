import type { RejectionCode } from '../../../../src/contract/failure.ts';
import type { RejectedIdentity } from '../../../../src/contract/message.ts';
import type { ContentRequest } from '../../../../src/contract/request.ts';

export interface Example {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly expected: Expected;
}

export type Expected =
  | { readonly kind: 'request'; readonly request: ContentRequest }
  | {
      readonly kind: 'rejection';
      readonly code: RejectionCode;
      /** In the order of the fields' table, each named once. */
      readonly fields: readonly string[];
      readonly identity: RejectedIdentity;
    };

/** A body as text goes as it is; anything else as its JSON. */
export function example(name: string, body: unknown, expected: Expected): Example {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { name, bytes: body instanceof Uint8Array ? body : new TextEncoder().encode(text), expected };
}

type Said = Pick<ContentRequest, 'rowId' | 'correlationId' | 'studentId' | 'topic'> & Partial<ContentRequest>;

/** The whole request: what is not said stands at its default, written out here a second time on purpose. */
export function request(said: Said): Expected {
  return {
    kind: 'request',
    request: {
      gradeLevel: null,
      learningObjective: null,
      durationMinutes: null,
      organizationId: null,
      interest: null,
      environment: null,
      requestedModalities: ['video'],
      preferredModality: 'video',
      ...said,
    },
  };
}

export function invalid(identity: RejectedIdentity, ...fields: readonly string[]): Expected {
  return { kind: 'rejection', code: 'invalid_fields', fields, identity };
}

export function unreadable(
  code: Exclude<RejectionCode, 'invalid_fields'>,
  identity: RejectedIdentity = null,
): Expected {
  return { kind: 'rejection', code, fields: ['body'], identity };
}

/** The identity of most examples: a message that is known by it stays readable when something else is wrong. */
export const ID = '3fa4d8d8-355a-4a88-8139-a97f03358ec0';
export const KNOWN = { rowId: ID } as const;

/** A valid message, and what it says. */
export const BASE = { request_id: ID, correlation_id: 'c', student_id: 's', topic: 't' } as const;
export const SAID = { rowId: ID, correlationId: 'c', studentId: 's', topic: 't' } as const;
