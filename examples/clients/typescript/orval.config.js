export default {
  api: {
    input: '../../../openapi.yaml',
    output: {
      target: 'generated/orval.ts',
      client: 'fetch',
      baseUrl: { runtime: 'process.env.API_URL' },
    },
  },
};
