// Stands for a list of rows while it is read.

export function RowBones() {
  return (
    <>
      <span className="bone row" />
      <span className="bone row" />
      <span className="bone row" />
    </>
  );
}
