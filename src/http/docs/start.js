// Nothing is sent anywhere but to this service: no validator of somebody else's, no remembered keys.
SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#doors',
  deepLinking: true,
  docExpansion: 'none',
  persistAuthorization: false,
  validatorUrl: null,
});
