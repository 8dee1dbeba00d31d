/** Every message that was ever published to the topic, in the original's code, scripts and documents. */
import { example, ID, invalid, KNOWN, request, type Example } from './example.ts';

const STUDENT = '35c3c63f-0f0c-4d2a-9a53-0d1c1d6d5c55';
const API = {
  request_id: ID,
  correlation_id: 'req_0123456789abcdef',
  student_id: STUDENT,
  student_query: 'Explain inertia',
};
const API_SAID = {
  rowId: ID,
  correlationId: 'req_0123456789abcdef',
  studentId: STUDENT,
  topic: 'Explain inertia',
  environment: 'dev',
} as const;
const SMOKE = { student_id: STUDENT, student_query: 'Explain gravity', grade_level: '8', duration_minutes: 3 };
const SMOKE_SAID = {
  studentId: STUDENT,
  topic: 'Explain gravity',
  gradeLevel: '8',
  durationMinutes: 3,
} as const;

export const PUBLISHED: readonly Example[] = [
  example(
    "published: the plan's first message, without request_id",
    { correlation_id: 'test-001', student_id: 'test-student', topic: 'Python Basics', grade_level: '9th Grade' },
    request({
      rowId: 'bfc35f26-39d4-5197-a150-bd847d97c858',
      correlationId: 'test-001',
      studentId: 'test-student',
      topic: 'Python Basics',
      gradeLevel: '9th Grade',
    }),
  ),
  example(
    'published: readiness test mock',
    { correlation_id: 'test-123', student_id: 'student-123', topic: 'Test', grade_level: '9th Grade' },
    request({
      rowId: '6ebf57f6-842a-5d66-a3e0-7aac697ad61f',
      correlationId: 'test-123',
      studentId: 'student-123',
      topic: 'Test',
      gradeLevel: '9th Grade',
    }),
  ),
  example(
    'published: API v1, grade and interest given',
    { ...API, grade_level: 10, interest: 'Basketball', environment: 'dev' },
    request({ ...API_SAID, gradeLevel: '10', interest: 'Basketball' }),
  ),
  example(
    'published: API v1, grade and interest null',
    { ...API, grade_level: null, interest: null, environment: 'dev' },
    request(API_SAID),
  ),
  example(
    'published: API v2 with its defaults',
    { ...API, environment: 'dev', requested_modalities: ['video'], preferred_modality: 'video' },
    request(API_SAID),
  ),
  example(
    'published: API v2, text and audio',
    { ...API, environment: 'dev', requested_modalities: ['text', 'audio'], preferred_modality: 'text' },
    request({ ...API_SAID, requestedModalities: ['text', 'audio'], preferredModality: 'text' }),
  ),
  example(
    'published: smoke v1, request_id is no UUID',
    { ...SMOKE, request_id: 'smoke-test-1762300000' },
    invalid(null, 'request_id'),
  ),
  example(
    'published: smoke v2, correlation smoke-',
    { ...SMOKE, request_id: ID, correlation_id: 'smoke-1762300000' },
    request({ ...SMOKE_SAID, rowId: ID, correlationId: 'smoke-1762300000' }),
  ),
  example(
    'published: smoke final, correlation smoke-test-',
    { ...SMOKE, request_id: ID, correlation_id: 'smoke-test-1762300000' },
    request({ ...SMOKE_SAID, rowId: ID, correlationId: 'smoke-test-1762300000' }),
  ),
  example(
    'published: smoke report, test-smoke-001',
    { ...SMOKE, request_id: 'test-smoke-001' },
    invalid(null, 'request_id'),
  ),
  example(
    'published: smoke report, test-smoke-003, grade 7',
    { ...SMOKE, request_id: 'test-smoke-003', grade_level: '7' },
    invalid(null, 'request_id'),
  ),
  example(
    'published: readiness doc, test-001-smoke',
    { ...SMOKE, request_id: 'test-001-smoke' },
    invalid(null, 'request_id'),
  ),
  example(
    'published: migration doc, grade 8th',
    { ...SMOKE, request_id: 'test-001', grade_level: '8th' },
    invalid(null, 'request_id'),
  ),
  example(
    'published: UUID test, the bad id',
    { request_id: 'invalid-uuid-test-1762300000', student_id: STUDENT, student_query: 'q', grade_level: 10 },
    invalid(null, 'request_id'),
  ),
  example(
    'published: UUID test, the good id; correlation_id becomes the request_id',
    { request_id: ID, student_id: STUDENT, student_query: 'q', grade_level: 10 },
    request({ rowId: ID, correlationId: ID, studentId: STUDENT, topic: 'q', gradeLevel: '10' }),
  ),
  example(
    'published: root-cause doc, two faults',
    { request_id: 'invalid-uuid', student_query: 'q' },
    invalid(null, 'request_id', 'student_id'),
  ),
  example(
    'published: DLQ test, only a request_id that is no UUID',
    { request_id: 'test-dlq-routing' },
    invalid(null, 'request_id', 'student_id', 'topic'),
  ),
  example(
    'published: load test',
    {
      request_id: 'load_test_20251104_1',
      student_id: 'student_load_test_1',
      student_query: 'q',
      interest: 'tennis',
      grade_level: 9,
    },
    invalid(null, 'request_id'),
  ),
  example(
    'published: dual-modality test, first ids',
    { ...API, request_id: 'test1_backward_compat', correlation_id: 'req_test1' },
    invalid(null, 'request_id'),
  ),
  example(
    'published: dual-modality test, later a UUID, text only',
    { ...API, correlation_id: 'req_test2', requested_modalities: ['text'], preferred_modality: 'text' },
    request({
      ...API_SAID,
      correlationId: 'req_test2',
      environment: null,
      requestedModalities: ['text'],
      preferredModality: 'text',
    }),
  ),
  example(
    'published: session-11 e2e, text_only is no modality',
    { ...API, interest: 'Basketball', requested_modalities: ['text_only'], preferred_modality: 'text_only' },
    invalid(KNOWN, 'requested_modalities', 'preferred_modality'),
  ),
  example(
    'published: gemini test',
    { request_id: 'test_gemini_flash_final', student_query: 'q', interest: 'soccer', grade_level: 11 },
    invalid(null, 'request_id', 'student_id'),
  ),
  example(
    'published: create_test_content_request.py',
    {
      request_id: ID,
      correlation_id: 'test-session11-final',
      topic_id: 'topic_phys_mech_newton_3',
      interest: 'basketball',
      modality: 'text_and_video',
      priority: 1,
      created_at: '2025-11-05T00:00:00Z',
    },
    invalid(KNOWN, 'student_id', 'topic'),
  ),
  example(
    'published: the poison of 5 November',
    { request_id: ID, correlation_id: 'test-session11-final' },
    invalid(KNOWN, 'student_id', 'topic'),
  ),
  example(
    'published: the scheduler on the request topic',
    { trigger: 'scheduler' },
    invalid(null, 'correlation_id', 'student_id', 'topic'),
  ),
  example(
    'published: master plan test',
    { request_id: 'test_1762300000', correlation_id: 'test_1762300000', duration_seconds: 180 },
    invalid(null, 'request_id', 'student_id', 'topic'),
  ),
  example(
    'published: phase-3 plan, topic_id is no topic',
    {
      request_id: ID,
      correlation_id: 'corr_0123456789ab',
      topic_id: 'topic_1',
      student_id: STUDENT,
      interest: 'music',
      cache_key: 'k',
      grade_level: 9,
      timestamp: '2025-11-05T00:00:00Z',
    },
    invalid(KNOWN, 'topic'),
  ),
  example(
    'published: first design, generate-script',
    { request_id: 'req_abc123', topic_id: 't', interest_id: 'i', style: 'casual' },
    invalid(null, 'request_id', 'student_id', 'topic'),
  ),
  example(
    'published: push envelope; what is inside is not unpacked',
    { message: { data: 'eyJ9', messageId: '1', publishTime: '2025-11-05T00:00:00Z' }, subscription: 's' },
    invalid(null, 'correlation_id', 'student_id', 'topic'),
  ),
  example(
    'published: DLQ export re-published by mistake',
    { message_id: '1', delivery_attempt: 5, data: API, attributes: {}, ack_id: 'a' },
    invalid(null, 'correlation_id', 'student_id', 'topic'),
  ),
  example(
    'published: tracker correlation vvd_',
    { ...API, correlation_id: 'vvd_1762300000000_0a1b2c3d' },
    request({ ...API_SAID, correlationId: 'vvd_1762300000000_0a1b2c3d', environment: null }),
  ),
];
