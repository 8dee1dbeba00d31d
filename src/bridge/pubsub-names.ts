/** Full resource names. A name that is full already stays as it is. */
export function subscriptionName(project: string, subscription: string): string {
  return subscription.includes('/') ? subscription : `projects/${project}/subscriptions/${subscription}`;
}

export function topicName(project: string, topic: string): string {
  return topic.includes('/') ? topic : `projects/${project}/topics/${topic}`;
}

/** The last part, as gcloud takes it. */
export function shortName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}
