/** Flat list of names and values, as `http.ServerResponse.writeHead` takes it fastest. */
export type HeaderList = (string | number)[];
