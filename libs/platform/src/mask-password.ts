/** A text with the user and password of every URL in it replaced: connection URLs carry them into messages. */
export const maskPassword = (text: string): string => text.replace(/\/\/[^@/]*@/g, '//***@');
