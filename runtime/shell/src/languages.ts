// Languages a person may choose, each called as its speakers call it.

const TAGS = [
  'ar', 'bn', 'cs', 'da', 'de', 'el', 'en', 'en-GB', 'es', 'fi', 'fr', 'he', 'hi', 'hu', 'id', 'it', 'ja', 'ko', 'nl',
  'no', 'pl', 'pt', 'pt-BR', 'ro', 'ru', 'sv', 'th', 'tr', 'uk', 'vi', 'zh',
];

export interface Language {
  readonly value: string;
  readonly label: string;
}

export const LANGUAGES: readonly Language[] = [
  { value: '', label: 'The language of the app' },
  ...TAGS.map((tag) => ({ value: tag, label: ownName(tag) })),
];

function ownName(tag: string): string {
  const name = new Intl.DisplayNames([tag], { type: 'language' }).of(tag) ?? tag;
  return name.charAt(0).toLocaleUpperCase(tag) + name.slice(1);
}
