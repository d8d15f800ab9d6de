/** Vite's way to name a file by its address. */
declare module '*?url' {
  const url: string
  // biome-ignore lint/style/noDefaultExport: this is how Vite exports it
  export default url
}
